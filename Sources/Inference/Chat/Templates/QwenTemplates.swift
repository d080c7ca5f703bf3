//  The prompt formats of the Qwen line, as template programs of our own.
//
//  What is particular about them:
//  - Tools are listed, one line of JSON each, in the system message, which is made up when the
//    conversation has none.
//  - A tool's result is a user's turn; results that follow each other share one.
//  - Thinking (Qwen3) belongs to the answer in progress. The last query is the last user message
//    that is not a tool result; what the assistant thought before it is left out, and what it
//    thought after it is written in front of the answer. The very last message gets an empty
//    thought when it has none.
//
//  Source: the outputs of the published templates of Qwen2.5, Qwen3 (as revised in 2025), their
//  variants of July 2025, and Qwen3-Coder, which these programs reproduce byte for byte.

enum QwenTemplates {
    /// What introduces the list of tools, the list, and how to call them; the system message is
    /// left open in front.
    private static let tools = #"""
        {%- macro tool_list() %}
            {{- '# Tools\n\nYou may call one or more functions to assist with the user query.\n\n' }}
            {{- 'You are provided with function signatures within <tools></tools> XML tags:\n<tools>' }}
            {%- for tool in tools %}
                {{- '\n' ~ (tool | tojson) }}
            {%- endfor %}
            {{- '\n</tools>\n\nFor each function call, return a json object with function name and arguments ' }}
            {{- 'within <tool_call></tool_call> XML tags:\n<tool_call>\n' }}
            {{- '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>' }}
        {%- endmacro %}
        {%- macro result(message, previous, next) %}
            {%- if previous != 'tool' %}
                {{- '<|im_start|>user' }}
            {%- endif %}
            {{- '\n<tool_response>\n' ~ (message.content or '') ~ '\n</tool_response>' }}
            {%- if next != 'tool' %}
                {{- '<|im_end|>\n' }}
            {%- endif %}
        {%- endmacro %}
        {%- set opening = messages[0].content or '' if messages[0].role == 'system' else none %}

        """#

    /// Qwen2.5 and Qwen2.5-Coder.
    static let qwen25 =
        tools + #"""
            {%- if opening is none %}
                {%- set opening = 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' %}
            {%- endif %}
            {{- '<|im_start|>system\n' ~ opening ~ ('\n\n' ~ tool_list() if tools else '') ~ '<|im_end|>\n' }}
            {%- for message in messages %}
                {%- if message.role == 'tool' %}
                    {{- result(message, loop.previtem.role if not loop.first, loop.nextitem.role if not loop.last) }}
                {%- elif message.role != 'system' or not loop.first %}
                    {{- '<|im_start|>' ~ message.role }}
                    {%- if message.content or not message.tool_calls %}
                        {{- '\n' ~ (message.content or '') }}
                    {%- endif %}
                    {%- for call in message.tool_calls or [] %}
                        {%- set call = call.function or call %}
                        {{- '\n<tool_call>\n{"name": "' ~ call.name ~ '", "arguments": ' ~ (call.arguments | tojson) }}
                        {{- '}\n</tool_call>' }}
                    {%- endfor %}
                    {{- '<|im_end|>\n' }}
                {%- endif %}
            {%- endfor %}
            {%- if add_generation_prompt %}
                {{- '<|im_start|>assistant\n' }}
            {%- endif %}
            """#

    /// What the members of the Qwen3 family do differently.
    enum Thinking {
        /// The caller decides with `enable_thinking` (Qwen3).
        case switchable
        /// Every answer begins with thinking (Qwen3-Thinking-2507).
        case always
        /// The model does not think (Qwen3-Instruct-2507).
        case never
    }

    static func qwen3(_ thinking: Thinking) -> String {
        let turn = thinking == .never ? plainTurn : thoughtfulTurn
        let prompt =
            switch thinking {
            case .switchable:
                #"'<|im_start|>assistant\n' ~ ('<think>\n\n</think>\n\n' if enable_thinking is false else '')"#
            case .always: #"'<|im_start|>assistant\n<think>\n'"#
            case .never: #"'<|im_start|>assistant\n'"#
            }
        return tools + qwen3Head + turn + qwen3Tail
            + "{%- if add_generation_prompt %}\n    {{- \(prompt) }}\n{%- endif %}"
    }

    private static let qwen3Head = #"""
        {%- if tools %}
            {{- '<|im_start|>system\n' ~ (opening ~ '\n\n' if opening is string else '') ~ tool_list() ~ '<|im_end|>\n' }}
        {%- elif opening is string %}
            {{- '<|im_start|>system\n' ~ opening ~ '<|im_end|>\n' }}
        {%- endif %}
        {%- set last = namespace(query=messages | length - 1) %}
        {%- for message in messages %}
            {%- if message.role == 'user' and message.content is string and not (
                message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
                {%- set last.query = loop.index0 %}
            {%- endif %}
        {%- endfor %}
        {%- for message in messages %}
            {%- set content = message.content if message.content is string else '' %}
            {%- if message.role == 'tool' %}
                {{- result(message, loop.previtem.role if not loop.first, loop.nextitem.role if not loop.last) }}
            {%- elif message.role == 'assistant' %}
                {{- '<|im_start|>assistant\n' }}

        """#

    private static let plainTurn = #"""
                {{- content }}

        """#

    private static let thoughtfulTurn = #"""
                {%- set thought = '' %}
                {%- if message.reasoning_content is string %}
                    {%- set thought = message.reasoning_content %}
                {%- elif '</think>' in content %}
                    {%- set thought = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
                    {%- set content = content.split('</think>')[-1].lstrip('\n') %}
                {%- endif %}
                {%- if loop.index0 > last.query and (loop.last or thought) %}
                    {{- '<think>\n' ~ thought.strip('\n') ~ '\n</think>\n\n' ~ content.lstrip('\n') }}
                {%- else %}
                    {{- content }}
                {%- endif %}

        """#

    private static let qwen3Tail = #"""
                {%- for call in message.tool_calls or [] %}
                    {%- set call = call.function or call %}
                    {{- '\n' if content or not loop.first else '' }}
                    {{- '<tool_call>\n{"name": "' ~ call.name ~ '", "arguments": ' }}
                    {{- call.arguments if call.arguments is string else call.arguments | tojson }}
                    {{- '}\n</tool_call>' }}
                {%- endfor %}
                {{- '<|im_end|>\n' }}
            {%- elif message.role != 'system' or not loop.first %}
                {{- '<|im_start|>' ~ message.role ~ '\n' ~ content ~ '<|im_end|>\n' }}
            {%- endif %}
        {%- endfor %}

        """#

    /// Qwen3-Coder: tools and calls are written with tags, a line a value.
    static let qwen3Coder = #"""
        {%- macro rest_of(object, known) %}
            {%- if object is mapping %}
                {%- for key in object if key not in known %}
                    {%- set value = object[key] %}
                    {{- '\n<' ~ key ~ '>' ~ (value | tojson if value is mapping else value) ~ '</' ~ key ~ '>' }}
                {%- endfor %}
            {%- endif %}
        {%- endmacro %}
        {%- macro described(tool) %}
            {{- '\n<function>\n<name>' ~ tool.name ~ '</name>' }}
            {%- if tool.description is defined %}
                {{- '\n<description>' ~ (tool.description | trim) ~ '</description>' }}
            {%- endif %}
            {{- '\n<parameters>' }}
            {%- if tool.parameters is mapping and tool.parameters.properties is mapping %}
                {%- for name, field in tool.parameters.properties | items %}
                    {{- '\n<parameter>\n<name>' ~ name ~ '</name>' }}
                    {%- if field.type is defined %}
                        {{- '\n<type>' ~ field.type ~ '</type>' }}
                    {%- endif %}
                    {%- if field.description is defined %}
                        {{- '\n<description>' ~ (field.description | trim) ~ '</description>' }}
                    {%- endif %}
                    {{- rest_of(field, ['name', 'type', 'description']) ~ '\n</parameter>' }}
                {%- endfor %}
            {%- endif %}
            {{- rest_of(tool.parameters, ['type', 'properties']) ~ '\n</parameters>' }}
            {{- rest_of(tool, ['type', 'name', 'description', 'parameters']) ~ '\n</function>' }}
        {%- endmacro %}
        {%- set opening = messages[0].content if messages[0].role == 'system' else none %}
        {%- if tools and opening is none %}
            {%- set opening = 'You are Qwen, a helpful AI assistant that can interact with a computer to solve tasks.' %}
        {%- endif %}
        {%- if opening is not none %}
            {{- '<|im_start|>system\n' ~ opening }}
            {%- if tools %}
                {{- '\n\n# Tools\n\nYou have access to the following functions:\n\n<tools>' }}
                {%- for tool in tools %}
                    {{- described(tool.function or tool) }}
                {%- endfor %}
                {{- '\n</tools>\n\nIf you choose to call a function ONLY reply in the following format with NO suffix:' }}
                {{- '\n\n<tool_call>\n<function=example_function_name>\n<parameter=example_parameter_1>\nvalue_1\n' }}
                {{- '</parameter>\n<parameter=example_parameter_2>\nThis is the value for the second parameter\n' }}
                {{- 'that can span\nmultiple lines\n</parameter>\n</function>\n</tool_call>\n\n<IMPORTANT>\nReminder:\n' }}
                {{- '- Function calls MUST follow the specified format: an inner <function=...></function> block must ' }}
                {{- 'be nested within <tool_call></tool_call> XML tags\n- Required parameters MUST be specified\n' }}
                {{- '- You may provide optional reasoning for your function call in natural language BEFORE the ' }}
                {{- 'function call, but NOT after\n- If there is no function call available, answer the question ' }}
                {{- 'like normal with your current knowledge and do not tell the user about function calls\n' }}
                {{- '</IMPORTANT>' }}
            {%- endif %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
        {%- for message in messages %}
            {%- if message.role == 'assistant' and message.tool_calls %}
                {{- '<|im_start|>assistant' }}
                {%- if message.content is string and message.content | trim %}
                    {{- '\n' ~ (message.content | trim) ~ '\n' }}
                {%- endif %}
                {%- for call in message.tool_calls %}
                    {%- set call = call.function or call %}
                    {{- '\n<tool_call>\n<function=' ~ call.name ~ '>\n' }}
                    {%- for name, value in (call.arguments or {}) | items %}
                        {{- '<parameter=' ~ name ~ '>\n' ~ (value | tojson if value is mapping else value) }}
                        {{- '\n</parameter>\n' }}
                    {%- endfor %}
                    {{- '</function>\n</tool_call>' }}
                {%- endfor %}
                {{- '<|im_end|>\n' }}
            {%- elif message.role == 'tool' %}
                {%- if not loop.first and loop.previtem.role != 'tool' %}
                    {{- '<|im_start|>user\n' }}
                {%- endif %}
                {{- '<tool_response>\n' ~ (message.content or '') ~ '\n</tool_response>\n' }}
                {%- if loop.last or loop.nextitem.role != 'tool' %}
                    {{- '<|im_end|>\n' }}
                {%- endif %}
            {%- elif message.role != 'system' or not loop.first %}
                {{- '<|im_start|>' ~ message.role ~ '\n' ~ (message.content or '') ~ '<|im_end|>\n' }}
            {%- endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|im_start|>assistant\n' }}
        {%- endif %}
        """#
}
