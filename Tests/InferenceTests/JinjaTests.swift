import DualityCore
import Foundation
import Testing

@testable import DualityInference

/// The template interpreter beside Jinja2: constructs one by one, and what must not happen.
@Suite struct JinjaTests {
    private func variables(_ json: String) throws -> [(name: String, value: JinjaValue)] {
        try JSON(parsing: json).object?.members.map { ($0.name, JinjaValue($0.value)) } ?? []
    }

    private static let values = #"""
        {"s": "Héllo 🙂", "l": [3, 1, 2], "d": {"k": "v", "items": 1, "a": {"b": [1, {"c": "x"}]}}, "n": null,
         "ms": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": null}], "big": 123456789012345678901}
        """#

    /// A template and what Jinja2 3.1.6 makes of it.
    static let cases: [(String, String)] = [
        // White space
        ("a\n  {% if true %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc"),
        ("x {%- if true -%}  y  {%- endif +%}\n z", "xy\n z"),
        ("a\n  {%+ if true %}b{% endif %}\n", "a\n  b"), ("a {#- c -#} b", "ab"), ("{{ 1 -}}  \n 2", "12"),
        ("a\r\nb\rc", "a\nb\nc"), ("{% raw %}{{ x }}{% endraw %}\n.", "{{ x }}."),
        ("{{ {'a': {'b': 1}}['a'] }}", "{'b': 1}"),
        // Names and scopes
        ("{% set x = 1 %}{% for i in l %}{% set x = i %}{{ x }}{% endfor %}{{ x }}", "3121"),
        ("{% set ns = namespace(x=1) %}{% for i in l %}{% set ns.x = i %}{% endfor %}{{ ns.x }}", "2"),
        ("{% if true %}{% set y = 2 %}{% endif %}{{ y }}", "2"), ("[{{ missing }}{{ d.zz }}{{ l[9] }}]", "[]"),
        ("{% set a, b = 1, 'z' %}{{ b }}{{ a }}", "z1"), ("{% set x %}a{{ 1 }}{% endset %}{{ x | upper }}", "A1"),
        // Loops
        ("{% for a, b in d.items() %}{{ a }}{% if not loop.last %},{% endif %}{% endfor %}", "k,items,a"),
        ("{% for i in l if i > 1 %}{{ loop.index }}{{ loop.length }}{{ i }} {% else %}-{% endfor %}", "123 222 "),
        ("{% for i in [] %}{% else %}none{% endfor %}", "none"),
        (
            "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i > 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
            "023"
        ),
        ("{% for i in l[::-1] %}{{ loop.previtem }}>{{ i }} {% endfor %}", ">2 2>1 1>3 "),
        // Macros
        ("{% macro m(a, b=2) %}{{ a }}{{ b }}{{ varargs }}{% endmacro %}{{ m(1) }} {{ m(1, 3, 4) }}", "12() 13(4,)"),
        ("{% macro m() %}<{{ caller(5) }}>{% endmacro %}{% call(x) m() %}{{ x }}!{% endcall %}", "<5!>"),
        ("{% macro f(n) %}{{ n }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}", "3210"),
        // Attributes, items, slices
        ("{{ d.items is callable }} {{ d['items'] }} {{ d.get('q', 7) }} {{ d.a.b[1].c }}", "True 1 7 x"),
        ("{{ s[0] }}{{ s[-1] }}{{ s[1:3] }}{{ s[::-1] }}{{ l[-2:] }}{{ l[::2] }}", "H🙂él🙂 olléH[1, 2][3, 2]"),
        // Operators
        ("{{ 7 // -2 }} {{ -7 % 3 }} {{ 2 ** 3 ** 2 }} {{ 1 / 4 }} {{ 'a' ~ 1 ~ none }}", "-4 2 64 0.25 a1None"),
        (
            "{{ 1 < 2 < 3 }} {{ 'x' in d.a.b[1].c }} {{ 2 not in l }} {{ 1 == 1.0 }} {{ true + 1 }}",
            "True True False True 2"
        ),
        ("{{ 'y' if n else 'z' }}{{ n or 'o' }}{{ 1 and 0 }}{{ not n }}[{{ 'q' if n }}]", "zo0True[]"),
        (
            "{{ [1] + [2] }} {{ 'ab' * 2 }} {{ (1, 'é') }} {{ {'a': [none, true, 1.0]} }}",
            "[1, 2] abab (1, 'é') {'a': [None, True, 1.0]}"
        ),
        ("{{ '%s-%05.1f-%x' % ('a', 2.25, 255) }} {{ '{:>4}|{}'.format('b', 1) }}", "a-002.2-ff    b|1"),
        // Filters and tests
        (
            "{{ l | sort | join('-') }} {{ l | sum }} {{ 'a b' | title }} {{ s | length }} {{ ' x ' | trim }}",
            "1-2-3 6 A B 7 x"
        ),
        (
            "{{ ms | map(attribute='role') | list }} {{ ms | selectattr('content') | list | length }}",
            "['user', 'assistant'] 1"
        ),
        ("{{ ms | rejectattr('content', 'none') | map(attribute='content') | first }}", "hi"),
        ("{% if ms | selectattr('role', 'equalto', 'x') %}a generator is true{% endif %}", "a generator is true"),
        (
            "{{ q | default('w') }} {{ n is none }} {{ l is sequence }} {{ d is mapping }} {{ 4 is divisibleby 2 }}",
            "w True True True True"
        ),
        ("{{ '<a>' | safe + '<b>' }} {{ 'a<' | e }}", "<a>&lt;b&gt; a&lt;"),
        // JSON as Python writes it
        (
            "{{ d | tojson }} {{ big | tojson }}",
            #"{"k": "v", "items": 1, "a": {"b": [1, {"c": "x"}]}} 123456789012345678901"#
        ),
        (
            "{{ {'é': [1.0, 1e16, 1e-5, none]} | tojson(indent=1) }}",
            "{\n \"é\": [\n  1.0,\n  1e+16,\n  1e-05,\n  null\n ]\n}"
        ),
        (
            #"{{ 'é"\n' | tojson(ensure_ascii=true) }}{{ {'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':')) }}"#,
            #""\u00e9\"\n"{"a":2,"b":1}"#
        ),
        // String methods
        (
            "{{ 'a.b.c'.split('.', 1) }} {{ ' a b '.split() }} {{ 'xxaxx'.strip('x') }} {{ 'aXa'.replace('a', 'b', 1) }}",
            "['a', 'b.c'] ['a', 'b'] a bXa"
        ),
        (
            "{{ 'abc'.startswith(('x', 'ab')) }} {{ 'abc'.find('c') }} {{ 'a-b'.partition('-') }} {{ 'q'.join(['1', '2']) }}",
            "True 2 ('a', '-', 'b') 1q2"
        ),
        ("{{ 'it''s' }} {{ \"it's\" | list | last }} {{ ['it\\'s'] }}", "its s [\"it's\"]"),
    ]

    @Test func constructsAreThoseOfJinja2() throws {
        for (source, expected) in Self.cases {
            let text = try JinjaTemplate(source).run(variables(Self.values)).output.string
            #expect(text.utf8.elementsEqual(expected.utf8), "\(source) gives \(text.debugDescription)")
        }
    }

    /// What Jinja2 refuses too, with a word of the message.
    static let mistakes: [(String, String)] = [
        ("{% if x", "end"), ("{{ 'open", "end"), ("{# open", "comment"), ("{% for x in l %}", "endfor"),
        ("{{ 1 + }}", "expression"),
        ("{% endif %}", "endif"), ("{{ l.append(1) }}", "unsafe"), ("{{ missing.x }}", "missing"),
        ("{{ missing() }}", "missing"),
        ("{{ 1 + 'a' }}", "operand"), ("{{ n.x.y }}", "no attribute"), ("{{ raise_exception('No!') }}", "No!"),
        ("{{ 1 // 0 }}", "zero"),
        ("{{ missing | tojson }}", "JSON"), ("{{ 1 in s }}", "string"), ("{% set x.y = 1 %}", "namespace"),
        ("{{ s | nofilter }}", "nofilter"),
        ("{{ s is notest }}", "notest"), ("{% include 'a' %}", "include"), ("{{ 'a'.encode() }}", "encode"),
        ("{% break %}", "loop"),
        ("{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "not more than"), ("{{ 9223372036854775807 + 1 }}", "64 bits"),
        ("{{ l | first('x', 'y') }}{{ l.index(7) }}", "not in"),
        ("{{ range(200000) }}", "100000"), ("{{ [1, 'a'] | sort }}", "not supported"),
    ]

    @Test func mistakesAreErrorsThatSayWhat() throws {
        for (source, word) in Self.mistakes {
            let failure = #expect(throws: JinjaFailure.self, "\(source)") {
                try JinjaTemplate(source).run(variables(Self.values))
            }
            #expect(failure?.message.contains(word) == true, "\(source): \(String(describing: failure))")
        }
    }

    /// Programs that would never end, or would fill the memory, or the stack.
    static let hostile: [String] = {
        let nested =
            String(repeating: "{% for a in r %}", count: 20) + "x" + String(repeating: "{% endfor %}", count: 20)
        return [
            "{% set r = range(1000) %}" + nested,
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
            "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
            "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
            "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s | replace('', ns.s) %}{% endfor %}",
            "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
            "{% set ns = namespace(s=[]) %}{% for i in range(99999) %}{% set ns.s = [ns.s] %}{% endfor %}",
            "{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns }}",
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}",
            "{{ 'x' * 10 ** 15 }}", "{{ [0] * 10 ** 15 }}", "{{ '%999999999d' % 1 }}",
            "{{ '{:>999999999}'.format(1) }}",
            "{{ 'x'.center(10 ** 12) }}", "{{ 'x' | indent(10 ** 12, true) }}", "{{ [1] | tojson(indent=10 ** 12) }}",
            "{{ [1] | batch(10 ** 12, 'x') | list }}", "{{ [1] | slice(10 ** 12) | list }}",
            "{{ 'x'.zfill(10 ** 12) }}",
            "{{ '\\t'.expandtabs(10 ** 12) }}",
            String(repeating: "{% for a in r %}", count: 60_000), String(repeating: "{% if 1 %}", count: 60_000),
            "{{ " + String(repeating: "(", count: 200_000) + " }}",
            "{{ " + String(repeating: "-", count: 200_000) + "1 }}",
            "{{ " + String(repeating: "not ", count: 200_000) + "1 }}",
            "{{ 1" + String(repeating: " + 1", count: 200_000) + " }}",
            "{{ a" + String(repeating: ".a", count: 200_000) + " }}",
            "{{ a" + String(repeating: "|list", count: 150_000) + " }}",
            "{% if 1 %}" + String(repeating: "{% elif 1 %}", count: 80_000) + "{% endif %}",
            String(repeating: " ", count: 2 << 20),
            "{{ 1 if " + String(repeating: "1 else 1 if ", count: 80_000) + "1 }}",
        ]
    }()

    @Test func hostileProgramsAreErrors() throws {
        for source in Self.hostile {
            let failure = #expect(throws: JinjaFailure.self, "\(source.prefix(80))") {
                try JinjaTemplate(source).run([])
            }
            #expect(
                failure?.kind == .limit || failure?.kind == .syntax,
                "\(source.prefix(80)): \(String(describing: failure))")
        }
    }

    /// Ranges of the output that came from the variables, as text.
    private func content(_ source: String) throws -> [String] {
        let output = try JinjaTemplate(source).run(variables(Self.values)).output
        return output.content.map { output[$0].string }
    }

    @Test func contentKeepsItsOriginThroughStringOperations() throws {
        #expect(try content("a{{ s }}b{{ s }}") == ["Héllo 🙂", "Héllo 🙂"])
        #expect(try content("{{ '<' + s | upper ~ '>' }}") == ["HÉLLO 🙂"])
        #expect(try content("{{ ('  ' ~ s ~ '  ') | trim }}{{ s[1:3] }}") == ["Héllo 🙂él"])
        #expect(try content("{{ s.split('l') | join('|') }}") == ["Hé", "o 🙂"])
        #expect(try content("{{ s.replace('llo', 'y') }}{{ 'xlly' | replace('l', s[0]) }}") == ["Hé", " 🙂", "HH"])
        #expect(try content("{% set x %}<{{ s }}>{% endset %}{{ x }}") == ["Héllo 🙂"])
        #expect(try content("{% macro m(t) %}[{{ t }}]{% endmacro %}{{ m(s) }}") == ["Héllo 🙂"])
        #expect(try content("{{ {'a': s} | tojson }}") == ["{\"a\": \"Héllo 🙂\"}"])
        #expect(try content("{{ '[%s]' % s }}{{ '<{}>'.format(s) }}") == ["Héllo 🙂", "Héllo 🙂"])
        #expect(try content("{{ 'own' }}{{ 1 }}") == [])
    }
}
