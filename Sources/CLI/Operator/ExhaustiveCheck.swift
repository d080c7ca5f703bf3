//  `duality check --exhaustive`: the forms on generated cases, for as long as one likes.

import DualityCore
import DualityQuant
import DualityReference
import DualityVerify
import Foundation
import Synchronization

/// Set by Ctrl-C: the cases under way are finished, and what was found is printed.
private let interrupted = Atomic<Bool>(false)

struct ExhaustiveCheck {
    let seed: UInt64
    /// nil for no end.
    let limit: Int?

    /// Runs until the limit or Ctrl-C, on all processes that `mpirun` has started.
    ///
    /// - Returns: what was found, on the first of them.
    func run() throws -> FormSurvey {
        try RankLaunch.campaign?.requireSame([("--seed", "\(seed)"), ("--cases", "\(limit ?? 0)")])
        signal(SIGINT) { _ in interrupted.store(true, ordering: .relaxed) }
        defer { signal(SIGINT, SIG_DFL) }
        var survey = FormSurvey()
        var stream = SurveyStream(seed: seed)
        let start = Date()
        var (noted, failed) = (Date(), false)
        do {
            try RankLaunch.carryOut(
                CaseList(first: limit), name: { "case \($0)" }, isEnded: { interrupted.load(ordering: .relaxed) },
                item: { stream.item($0) },
                work: { item in
                    var survey = FormSurvey()
                    if let item { try survey.take(item) }
                    return survey
                },
                take: { _, found in
                    // In the order of cases, so that sums are rounded alike whoever had them.
                    survey.take(found)
                    if survey.cases % 64 == 0 { note(survey, since: start, &noted, &failed) }
                })
        } catch let end as CampaignEnd {
            // They are the first ones, so that the table is that of fewer cases.
            if survey.cases > 0 {
                Terminal.clearProgress()
                let title = "what --cases \(survey.cases) shows, as far as this has got:"
                Terminal.note(([title] + SurveyReport.lines(survey)).joined(separator: "\n"))
            }
            throw end
        }
        Terminal.clearProgress()
        return survey
    }

    /// Says how far it has got.
    private func note(_ survey: FormSurvey, since start: Date, _ noted: inout Date, _ failed: inout Bool) {
        let seconds = Int(Date().timeIntervalSince(start))
        Terminal.progress("\(survey.cases.grouped) cases in \(seconds) s; Ctrl-C ends with a summary")
        if !Terminal.stderrIsTerminal, Date().timeIntervalSince(noted) > 60 {
            noted = Date()
            Terminal.note("\(survey.cases.grouped) cases in \(seconds) s")
        }
        if !failed, let row = survey.rows.first(where: { !$0.passes }) {
            failed = true
            Terminal.clearProgress()
            Terminal.note("\(row.form.name) in \(row.form.precision) is beyond its limit; going on")
        }
    }
}

/// The cases by their numbers: many small ones, and among them a few large ones.
private struct SurveyStream {
    private var small, large: SSDCaseGenerator
    /// The number of the case that comes next.
    private var next = 0

    init(seed: UInt64) {
        small = SSDCaseGenerator(seed: seed, budget: 12_000)
        large = SSDCaseGenerator(seed: ~seed, budget: 400_000)
    }

    /// A case that comes after all that were asked for before.
    mutating func item(_ number: Int) -> SSDCase? {
        var item: SSDCase?
        while next <= number {
            item = next % 128 == 127 ? large.next() : small.next()
            next += 1
        }
        return item
    }
}

/// A survey for people and for programs.
enum SurveyReport {
    static func lines(_ survey: FormSurvey) -> [String] {
        var table = TextTable([.left, .left, .right, .left, .left, .left, .left, .left, .left])
        table.add("form", "precision", "cases", "error", "typical", "/ bound", "/ sigma", "median", "")
        table.addRule()
        for row in survey.rows where row.cases > 0 {
            table.add(
                row.form.name, row.form.precision, row.cases.grouped, short(row.error.value), short(row.typicalError),
                short(row.bound.value), short(row.sigma.value), short(row.sigmas.median), row.passes ? "PASS" : "FAIL")
        }
        var lines = table.lines()
        lines.append("")
        lines.append("Worst cases by error / sigma; run one again with: duality check --case \"LINE\"")
        for row in survey.rows where row.cases > 0 {
            lines.append("  \(row.form.name) \(row.form.precision): \(row.sigma.item)")
        }
        for row in survey.rows where row.bound.value > 1 {
            lines.append("  over the bound, \(row.form.name) \(row.form.precision): \(row.bound.item)")
        }
        lines.append("")
        let failures = survey.rows.filter { !$0.passes }
        let limit = "\(Int(Limits.sigma)) sigma"
        lines.append(
            failures.isEmpty
                ? "PASS  \(survey.cases.grouped) cases: every form inside its bound, and \(limit) in float32 and bfloat16"
                : "FAIL  \(failures.count) of \(survey.rows.count) rows beyond their bound or \(limit)"
        )
        return lines
    }

    static func json(_ survey: FormSurvey, seed: UInt64) -> JSON {
        func worst(_ worst: SurveyRow.Worst) -> JSON {
            ["value": JSON(worst.value), "case": .string(worst.item), "seed": .string(seedField(worst.item))]
        }
        return [
            "pass": .bool(survey.passes), "cases": JSON(survey.cases), "generator_seed": .string("\(seed)"),
            "rows": .array(
                survey.rows.filter { $0.cases > 0 }.map { row in
                    [
                        "form": .string(row.form.name), "precision": .string(row.form.precision),
                        "cases": JSON(row.cases), "error": worst(row.error), "typical_error": JSON(row.typicalError),
                        "error_over_bound": worst(row.bound), "error_over_sigma": worst(row.sigma),
                        "median_error_over_sigma": JSON(row.sigmas.median), "pass": .bool(row.passes),
                    ]
                }),
        ]
    }

    private static func seedField(_ line: String) -> String {
        String(line.split(separator: " ").first?.dropFirst("seed=".count) ?? "")
    }

    private static func short(_ value: Double) -> String {
        value != 0 && (value < 0.01 || value >= 1000) ? String(format: "%.1e", value) : String(format: "%.2f", value)
    }
}
