//  What SymPy's reader of LaTeX makes of answers, also of those that are hardly formulas.

import DualityCore
import DualityEvaluation
import Testing

struct EqualityTests {
    /// Gold, stated answer, and whether simplify(a - b) is 0 with SymPy 1.14.
    @Test(arguments: [
        ("x,5", "x", true), ("x,2,3", "x", true), ("1,2,3", "1", false), ("2,3", "3,2", false),
        ("4\\pi", "4\\pi.", true), ("3", "3.", false),
        ("x^2", "x^2.", false), ("(1,2)", "(1,2]", false), ("3", "3)", true), ("x", "x-", true), ("x", "x;", false),
        ("5", "5\\%", false), ("1000x", "1,000x", true), ("1", "01", false),
        ("\\frac{\\sqrt{3}}{3}", "\\frac{\\sqrt{3}}{3}\\,", true), ("x y", "x\\,y", true), ("1000", "1\\,000", true),
        ("120", "5!", true), ("10", "\\binom{5}{2}", true), ("n(n-1)!", "n!", false), ("n\\cdot(n-1)!", "n!", true),
        ("x^2+x", "x(x+1)", false), ("x(x+1)", "x(1+x)", true), ("f(2)", "f(3)", false), ("f(x,y)", "f(y,x)", false),
        ("(x+1)x", "x^2+x", true), ("a_1", "a_2", false), ("a_{12}", "a_{12}+0", true), ("x'", "x", false),
        ("\\log(x)", "\\ln(x)", true), ("\\log x", "\\ln x", false), ("3", "\\log_2 8", true),
        ("2", "\\log_{10} 100", true),
        ("\\sin(x)\\cdot\\sin(x)", "\\sin^2(x)", true), ("1", "\\sin^2 x+\\cos^2 x", true),
        ("\\cot(x)", "1/\\tan(x)", true),
        ("0.5", "0.5.", true), ("\\tan^{-1}(x)", "\\arctan(x)", true),
        ("x", "\\sin(\\arcsin(x))", true), ("\\left(x\\right)+1", "1+\\left(x\\right)", false),
        ("3", "\\lfloor 3.5\\rfloor", true), ("4:3", "\\frac{8}{6}", true), ("2|x|", "|2x|", true), ("x<3", "x", false),
        ("\\emptyset", "\\varnothing", false), ("\\frac{1}{2x}", "1/2x", true), ("64", "2^2^3", true),
    ])
    func answersAreEqualWhereSymPySaysSo(_ gold: String, _ answer: String, _ isEqual: Bool) throws {
        let doc = try JSONFields(["solution": .string("\\boxed{\(gold)}")], place: "row")
        let output = "Final Answer: The final answer is $\(answer) $. I hope it is correct."
        let score = try MathTask().score(doc, .outputs([output])).value("exact_match")?.number
        #expect(score == (isEqual ? 1 : 0))
    }

    /// Ways that lead nowhere are given up: the time does not grow with every bracket twofold.
    @Test func brokenFormulasEnd() throws {
        for broken in ["a(", "\\sin(", "|x", "x_{", "\\frac{"] {
            let text = String(repeating: broken, count: 60)
            let doc = try JSONFields(["solution": .string("\\boxed{1}")], place: "row")
            let score = try MathTask().score(doc, .outputs(["Final Answer: The final answer is \(text)"]))
            #expect(score.value("exact_match")?.number == 0)
        }
    }
}
