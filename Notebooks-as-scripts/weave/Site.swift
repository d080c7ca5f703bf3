//  The site: every script run, every page woven, and an index with a picture for each.

import DualityCore
import DualityNotebook
import Foundation

struct Site {
    /// Holds NN-name/main.swift, and page/ with the template and the style.
    let scripts: URL
    /// Holds the built scripts.
    let binaries: URL
    /// Where the site goes.
    let site: URL

    /// The names of all scripts, in order.
    func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: scripts.path).filter {
            $0.first?.isNumber == true
        }.sorted()
    }

    /// Builds the whole site.
    ///
    /// - Parameter progress: is told a sentence now and then.
    func build(progress: (String) -> Void) throws {
        let pandoc = try Self.pandoc()
        let figures = site.appendingPathComponent("figures")
        try FileManager.default.createDirectory(at: figures, withIntermediateDirectories: true)
        let style = site.appendingPathComponent("style.css")
        try? FileManager.default.removeItem(at: style)
        try FileManager.default.copyItem(at: scripts.appendingPathComponent("page/style.css"), to: style)

        var pages: [Page] = []
        for name in try names() {
            let start = ContinuousClock.now
            pages.append(try run(name, figures: figures))
            progress("\(name): ran in \(text((ContinuousClock.now - start) / .seconds(1), .fixed(1))) s")
        }
        for (i, page) in pages.enumerated() {
            var variables = ["title": page.script.title, "number": String(page.script.name.prefix(2))]
            if i > 0 {
                variables["previous"] = "\(pages[i - 1].script.name).html"
                variables["previousTitle"] = pages[i - 1].script.title
            }
            if i + 1 < pages.count {
                variables["next"] = "\(pages[i + 1].script.name).html"
                variables["nextTitle"] = pages[i + 1].script.title
            }
            try set(page.markdown(), variables, to: "\(page.script.name).html", pandoc)
        }
        let introduction = try String(
            contentsOf: scripts.appendingPathComponent("page/index.md"), encoding: .utf8)
        try set(
            introduction + "\n\n" + cards(pages), ["title": "Duality, by running it", "index": "yes"],
            to: "index.html", pandoc)
        progress("\(site.path)/index.html: \(pages.count) pages")
    }

    private func run(_ name: String, figures: URL) throws -> Page {
        let source = try String(
            contentsOf: scripts.appendingPathComponent("\(name)/main.swift"), encoding: .utf8)
        let script = try Script(name: name, source: source)
        let process = Process()
        process.executableURL = binaries.appendingPathComponent(name)
        process.environment = ProcessInfo.processInfo.environment.merging([Recording.variable: figures.path])
        { $1 }
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw InputError(
                .value, in: name, expected: "a run without complaint",
                found: "exit status \(process.terminationStatus)"
            )
        }
        let record = figures.appendingPathComponent("outputs.jsonl")
        defer { try? FileManager.default.removeItem(at: record) }
        return Page(script: script, outputs: try RecordedOutput.read(from: figures.path))
    }

    /// The index below its introduction.
    private func cards(_ pages: [Page]) throws -> String {
        let cards = try pages.map { page in
            let picture = page.cover.map { "<img src=\"figures/\($0)\" alt=\"\">" } ?? ""
            return """
                ::: {.card}
                <a href="\(page.script.name).html">\(picture)</a>

                **[\(page.script.name.prefix(2)) · \(page.script.title)](\(page.script.name).html)**

                \(try page.summary())
                :::
                """
        }
        return "::: {.cards}\n\(cards.joined(separator: "\n\n"))\n:::\n"
    }

    /// Where pandoc is, sought in `path`: asked before the scripts run, which takes a while.
    ///
    /// - Throws: `InputError` (`.missingFile`) with the way to get it.
    static func pandoc(
        path: String = ProcessInfo.processInfo.environment["PATH"] ?? ""
    ) throws(InputError) -> URL {
        let places = path.split(separator: ":").map {
            URL(fileURLWithPath: String($0)).appendingPathComponent("pandoc")
        }
        guard let found = places.first(where: { FileManager.default.isExecutableFile(atPath: $0.path) })
        else {
            throw InputError(
                .missingFile, in: "pandoc", expected: "pandoc in PATH, which sets the pages", found: "none",
                remedy:
                    "apt-get install pandoc, or brew install pandoc. The scripts run without it: swift run NN-name."
            )
        }
        return found
    }

    private func set(
        _ markdown: String, _ variables: [String: String], to file: String, _ pandoc: URL
    ) throws {
        let source = site.appendingPathComponent("page.md")
        try Data(markdown.utf8).write(to: source)
        defer { try? FileManager.default.removeItem(at: source) }
        let process = Process()
        process.executableURL = pandoc
        process.arguments =
            [
                "--from", "markdown-auto_identifiers+gfm_auto_identifiers", "--to", "html5",
                "--mathml",
                "--standalone",
                "--template", scripts.appendingPathComponent("page/template.html").path,
                "--output", site.appendingPathComponent(file).path,
            ] + variables.sorted { $0.key < $1.key }.flatMap { ["--variable", "\($0.key)=\($0.value)"] } + [
                "--metadata", "pagetitle=\(variables["title"] ?? "")", source.path,
            ]
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw InputError(
                .unsupported, in: file, expected: "pandoc to set it",
                found: "exit status \(process.terminationStatus)",
                remedy: "It needs pandoc 2.17 or newer.")
        }
    }
}
