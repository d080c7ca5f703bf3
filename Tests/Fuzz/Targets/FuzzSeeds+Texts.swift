//  Requests, templates, schemas and answers to begin with.

extension FuzzSeeds {
    static let chats = [
        """
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text",
         "text": "Hello"}]}, {"role": "assistant", "content": "<think>\\nhm\\n</think>\\n\\nYes", "tool_calls": [{"id": "1",
         "type": "function", "function": {"name": "add", "arguments": "{\\"a\\": 1}"}}]}, {"role": "tool",
         "tool_call_id": "1", "content": "2"}, {"role": "user", "content": "And?"}], "tools": [{"type": "function",
         "function": {"name": "add", "description": "Adds", "parameters": {"type": "object", "properties": {"a": {"type":
         "integer"}}}}}], "add_generation_prompt": true, "chat_template_kwargs": {"enable_thinking": false},
         "tool_choice": "auto"}
        """,
        #"[{"role": "developer", "content": "x"}, {"role": "user", "content": "y"}]"#,
    ]

    static let templates = [
        """
        {%- set ns = namespace(n=0) %}{% macro turn(m) -%}<{{ m.role | upper }}>{{ m['content'] | trim }}{%- endmacro %}
        {%- for m in messages[::-1] if m.content is string and loop.index0 < 9 -%}
        {%- set ns.n = ns.n + loop.index %}{{ turn(m) ~ (m.role if m.role in ['user', 'tool'] else none) }}
        {%- if not loop.last %}{% continue %}{% elif ns.n > 3 %}{% break %}{% else %}{{ tools | tojson(indent=2) }}{% endif %}
        {%- endfor %}{{ raise_exception('no') if ns.n == 77 }}{{ "%s %d" | format('a', 3) }}{{ '-' * 5 }}
        """,
        "{% generation %}{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join(', ') }}"
            + "{% endgeneration %}{{ strftime_now('%d %b %Y') }}{{ {'a': [1, 2.5, none, true]} | tojson }}",
    ]

    static let schemas = [
        """
        {"type": "object", "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 9, "pattern": "^[a-z]+$"},
         "age": {"type": "integer", "minimum": 0, "exclusiveMaximum": 150}, "kind": {"enum": ["a", "b", 3, null]},
         "more": {"type": "array", "items": {"$ref": "#/$defs/item"}, "minItems": 1, "maxItems": 4}},
         "required": ["name", "age"], "additionalProperties": false, "$defs": {"item": {"anyOf": [{"type": "boolean"},
         {"type": "number", "minimum": 0.5}, {"type": "string", "format": "date"}]}}}
        """,
        #"{"oneOf": [{"const": 1}, {"allOf": [{"type": ["string", "null"]}, {"minLength": 2}]}]}"#,
    ]

    static let answers = [
        "<think>\nhm\n</think>\n\nText <tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": [1, \"}\"]}}\n</tool_call>",
        "<tool_call>{\"arguments\": {}, \"name\": \"f\"}</tool_call><tool_call>{\"name\": 3}</tool_cal",
    ]
}
