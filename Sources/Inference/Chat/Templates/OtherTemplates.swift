//  ChatML, and the prompt formats of Hermes, Llama 3 and Mistral, as template programs of our own.
//
//  Source: the outputs of the published templates of Hermes 2 Pro (`tool_use`), Llama 3 and 3.1,
//  and Mistral 7B Instruct v0.3, which these programs reproduce byte for byte; but content that is
//  null is nothing here and `None` there.

enum OtherTemplates {
    /// Every message between `<|im_start|>role` and `<|im_end|>`, and nothing else.
    static let chatML = #"""
        {%- for message in messages %}
            {{- '<|im_start|>' ~ message.role ~ '\n' ~ (message.content or '') ~ '<|im_end|>\n' }}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|im_start|>assistant\n' }}
        {%- endif %}
        """#

    /// Hermes 2 Pro and Hermes 3: ChatML with tools.
    static let hermes = #"""
        {%- macro python_type(schema) %}
            {%- set plain = {'string': 'str', 'number': 'float', 'integer': 'int', 'boolean': 'bool'} %}
            {%- if schema.type is string and schema.type in plain %}
                {{- plain[schema.type] }}
            {%- elif schema.type == 'array' %}
                {{- 'list[' ~ python_type(schema['items'] or {}) ~ ']' }}
            {%- elif schema.type == 'object' %}
                {{- 'dict' }}
                {%- if schema.additionalProperties is defined %}
                    {{- '[str, ' ~ python_type(schema.additionalProperties) ~ ']' }}
                {%- endif %}
            {%- elif schema.type is iterable and schema.type %}
                {{- 'Union[' }}
                {%- for type in schema.type %}
                    {{- python_type({'type': type}) ~ ('' if loop.last else ',') }}
                {%- endfor %}
                {{- ']' }}
            {%- else %}
                {{- 'Any' }}
            {%- endif %}
        {%- endmacro %}
        {%- macro described(tool) %}
            {%- set fields = tool.parameters.properties or {} %}
            {{- '{"type": "function", "function": {"name": "' ~ tool.name ~ '", "description": "' ~ tool.name ~ '(' }}
            {%- for name, field in fields | items %}
                {{- name ~ ': ' ~ python_type(field) ~ ('' if loop.last else ', ') }}
            {%- endfor %}
            {{- ') - ' ~ tool.description ~ '\n\n' }}
            {%- for name, field in fields | items %}
                {{- '    Args:\n' if loop.first else '' }}
                {{- '        ' ~ name ~ '(' ~ python_type(field) ~ '): ' ~ (field.description | trim) }}
            {%- endfor %}
            {{- '", "parameters": ' ~ (tool.parameters | tojson if fields else '{}') ~ '}' }}
        {%- endmacro %}
        {{- bos_token }}
        {%- if tools %}
            {{- '<|im_start|>system\nYou are a function calling AI model. You are provided with function signatures within ' }}
            {{- '<tools></tools> XML tags. You may call one or more functions to assist with the user query. ' }}
            {{- "Don't make assumptions about what values to plug into functions. " }}
            {{- 'Here are the available tools: <tools> ' }}
            {%- for tool in tools %}
                {{- described(tool.function or tool) ~ ('' if loop.last else '\n') }}
            {%- endfor %}
            {{- ' </tools>Use the following pydantic model json schema for each tool call you will make: {"properties": ' }}
            {{- '{"name": {"title": "Name", "type": "string"}, "arguments": {"title": "Arguments", "type": "object"}}, ' }}
            {{- '"required": ["name", "arguments"], "title": "FunctionCall", "type": "object"}}\n' }}
            {{- 'For each function call return a json object with function name and arguments within ' }}
            {{- '<tool_call></tool_call> XML tags as follows:\n<tool_call>\n' }}
            {{- '{"name": <function-name>, "arguments": <args-dict>}\n</tool_call><|im_end|>\n' }}
        {%- endif %}
        {%- for message in messages %}
            {%- if message.role == 'tool' %}
                {{- '<|im_start|>tool\n' if not loop.first and loop.previtem.role != 'tool' else '' }}
                {{- '<tool_response>\n' ~ (message.content or '') ~ '\n</tool_response>' ~ ('' if loop.last else '\n') }}
                {{- '<|im_end|>' if loop.last or loop.nextitem.role != 'tool' else '' }}
            {%- elif message.role == 'assistant' and message.tool_calls %}
                {{- '<|im_start|>assistant' }}
                {%- for call in message.tool_calls %}
                    {%- set call = call.function or call %}
                    {{- '\n<tool_call>\n{"name": "' ~ call.name ~ '", "arguments": ' }}
                    {{- call.arguments if call.arguments is string else call.arguments | tojson }}
                    {{- '}\n</tool_call>' }}
                {%- endfor %}
                {{- '<|im_end|>\n' }}
            {%- else %}
                {{- '<|im_start|>' ~ message.role ~ '\n' ~ (message.content or '') ~ '<|im_end|>\n' }}
            {%- endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|im_start|>assistant\n' }}
        {%- endif %}
        """#

    /// Llama 3.
    static let llama3 = #"""
        {{- bos_token }}
        {%- for message in messages %}
            {{- '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\n\n' ~ (message.content or '') | trim ~ '<|eot_id|>' }}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
        {%- endif %}
        """#

    /// Llama 3.1 and 3.3: Llama 3 with tools, and a system message that always comes first.
    static let llama31 = #"""
        {%- macro head(role) %}
            {{- '<|start_header_id|>' ~ role ~ '<|end_header_id|>\n\n' }}
        {%- endmacro %}
        {%- set opening = messages[0].content | trim if messages[0].role == 'system' else '' %}
        {%- set turns = messages[1:] if messages[0].role == 'system' else messages %}
        {{- bos_token ~ head('system') ~ ('Environment: ipython\n' if tools else '') }}
        {{- 'Cutting Knowledge Date: December 2023\nToday Date: ' ~ (date_string or '26 Jul 2024') ~ '\n\n' }}
        {{- opening ~ '<|eot_id|>' }}
        {%- if tools and not turns %}
            {{- raise_exception('Tools are listed in the first user message, and there is none.') }}
        {%- endif %}
        {%- for message in turns %}
            {%- if message.tool_calls %}
                {%- if message.tool_calls | length > 1 %}
                    {{- raise_exception('This format has one tool call in a message.') }}
                {%- endif %}
                {%- set call = message.tool_calls[0].function or message.tool_calls[0] %}
                {{- head('assistant') ~ '{"name": "' ~ call.name ~ '", "parameters": ' ~ (call.arguments | tojson) ~ '}' }}
            {%- elif message.role == 'tool' %}
                {{- head('ipython') ~ (message.content | tojson) }}
            {%- else %}
                {{- head('user' if loop.first and tools else message.role) }}
                {%- if loop.first and tools %}
                    {{- 'Given the following functions, please respond with a JSON for a function call with its proper ' }}
                    {{- 'arguments that best answers the given prompt.\n\nRespond in the format {"name": function name, ' }}
                    {{- '"parameters": dictionary of argument name and its value}.Do not use variables.\n\n' }}
                    {%- for tool in tools %}
                        {{- (tool | tojson(indent=4)) ~ '\n\n' }}
                    {%- endfor %}
                {%- endif %}
                {{- (message.content or '') | trim }}
            {%- endif %}
            {{- '<|eot_id|>' }}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- head('assistant') }}
        {%- endif %}
        """#

    /// Mistral 7B Instruct v0.3: the system message stands in the last user message, tools before
    /// it.
    static let mistral = #"""
        {%- set opening = messages[0].content if messages[0].role == 'system' else none %}
        {%- set turns = messages if opening is none else messages[1:] %}
        {%- set seen = namespace(turns=0, last=none) %}
        {%- for message in turns %}
            {%- if message.role == 'user' %}
                {%- set seen.last = message %}
            {%- endif %}
            {%- if message.role != 'tool' and not message.tool_calls %}
                {%- if (message.role == 'user') != (seen.turns % 2 == 0) %}
                    {{- raise_exception('User and assistant must take turns, after a system message or none.') }}
                {%- endif %}
                {%- set seen.turns = seen.turns + 1 %}
            {%- endif %}
        {%- endfor %}
        {{- bos_token }}
        {%- for message in turns %}
            {%- if message.role == 'user' %}
                {%- if tools and message == seen.last %}
                    {{- '[AVAILABLE_TOOLS] [' }}
                    {%- for tool in tools %}
                        {{- '{"type": "function", "function": {' }}
                        {%- for key, value in (tool.function or tool).items() if key != 'return' %}
                            {{- '"' ~ key ~ '": ' ~ ('"' ~ value ~ '"' if value is string else value | tojson) }}
                            {{- '' if loop.last else ', ' }}
                        {%- endfor %}
                        {{- '}}' ~ (']' if loop.last else ', ') }}
                    {%- endfor %}
                    {{- '[/AVAILABLE_TOOLS]' }}
                {%- endif %}
                {{- '[INST] ' ~ (opening ~ '\n\n' if loop.last and opening is not none else '') ~ message.content ~ '[/INST]' }}
            {%- elif message.tool_calls %}
                {{- '[TOOL_CALLS] [' }}
                {%- for call in message.tool_calls %}
                    {%- if call.id is not defined or call.id | length != 9 %}
                        {{- raise_exception('A tool call has an id of nine letters and digits.') }}
                    {%- endif %}
                    {{- (call.function | tojson)[:-1] ~ ', "id": "' ~ call.id ~ '"}' ~ (']' if loop.last else ', ') }}
                {%- endfor %}
                {{- eos_token }}
            {%- elif message.role == 'assistant' %}
                {{- ' ' ~ (message.content or '') | trim ~ eos_token }}
            {%- elif message.role == 'tool' %}
                {%- if message.tool_call_id is not defined or message.tool_call_id | length != 9 %}
                    {{- raise_exception('A tool result has the id of its call, nine letters and digits.') }}
                {%- endif %}
                {{- '[TOOL_RESULTS] {"content": ' ~ message.content ~ ', "call_id": "' ~ message.tool_call_id }}
                {{- '"}[/TOOL_RESULTS]' }}
            {%- else %}
                {{- raise_exception('A system message can only come first.') }}
            {%- endif %}
        {%- endfor %}
        """#
}
