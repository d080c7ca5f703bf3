import Testing

@testable import DualityQuant

/// The division of products among threads, simulated for as many of them as no machine at hand has:
/// pieces are claimed in order by whoever is free, and take as long as their weights times tokens.
@Suite struct ProductDivisionTests {
    /// The products of one job, as outputs and inputs of their matrices.
    struct Job: CustomTestStringConvertible, Sendable {
        let name: String
        let shapes: [(outputs: Int, inputs: Int)]
        var testDescription: String { name }

        /// In int8.
        var matrices: [ProductDivision.Matrix] {
            shapes.map {
                let panels = PackedMatrix.panels($0.outputs)
                return ProductDivision.Matrix(panels: panels, byteCount: panels * 32 * $0.inputs)
            }
        }
        var panels: Int { matrices.reduce(0) { $0 + $1.panels } }
    }

    /// Of a model of 0.6B parameters and one of 8B.
    static let jobs = [
        Job(name: "0.6B in_proj", shapes: [(2048, 1024), (2048, 1024), (1024, 1024), (1024, 1024), (16, 1024)]),
        Job(name: "0.6B out_proj", shapes: [(1024, 2048)]),
        Job(name: "0.6B gate and up", shapes: [(3072, 1024), (3072, 1024)]),
        Job(name: "0.6B down", shapes: [(1024, 3072)]),
        Job(name: "8B q, k and v", shapes: [(4096, 4096), (1024, 4096), (1024, 4096)]),
        Job(name: "8B o_proj", shapes: [(4096, 4096)]),
        Job(name: "8B gate and up", shapes: [(12288, 4096), (12288, 4096)]),
        Job(name: "8B down", shapes: [(4096, 12288)]),
    ]
    static let threads = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128]

    private func division(_ job: Job, rows: Int, threads: Int) -> (ProductDivision, [Range<Int>]) {
        let parts = ProductDivision.tokenParts(rows: rows, panels: job.panels, threads: threads)
        return (
            ProductDivision(job.matrices, tokenParts: parts.count, isPrompt: rows > 12, threads: threads), parts
        )
    }

    /// The share of their time that threads work.
    private func busy(_ job: Job, rows: Int, speeds: [Double]) -> Double {
        let (division, parts) = division(job, rows: rows, threads: speeds.count)
        var free = [Double](repeating: 0, count: speeds.count)
        var work = 0.0
        for piece in division.pieces {
            let matrix = job.matrices[piece.product]
            let cost =
                Double(piece.panels.count * matrix.byteCount / matrix.panels) * Double(parts[piece.tokenPart].count)
            let thread = free.indices.min { free[$0] < free[$1] } ?? 0
            free[thread] += cost / speeds[thread]
            work += cost
        }
        return work / ((free.max() ?? 0) * speeds.reduce(0, +))
    }

    @Test(arguments: jobs, [1, 3, 64, 500, 512, 2048]) func everyPanelOfEveryTokenComesOnce(job: Job, rows: Int) {
        for threads in Self.threads {
            let (division, parts) = division(job, rows: rows, threads: threads)
            #expect(parts.first?.lowerBound == 0 && parts.last?.upperBound == rows)
            #expect(zip(parts, parts.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound })
            #expect(parts.count == 1 || parts.allSatisfy { $0.count >= 32 })
            var next = [[Int]](repeating: [Int](repeating: 0, count: parts.count), count: job.matrices.count)
            var inOrder = true
            for piece in division.pieces {
                inOrder = inOrder && piece.panels.lowerBound == next[piece.product][piece.tokenPart]
                next[piece.product][piece.tokenPart] = piece.panels.upperBound
            }
            for (product, matrix) in job.matrices.enumerated() {
                inOrder = inOrder && next[product].allSatisfy { $0 == matrix.panels }
            }
            #expect(inOrder, "\(threads) threads")
        }
    }

    @Test(arguments: jobs) func aPromptKeepsAllThreadsBusy(job: Job) {
        for threads in Self.threads {
            let share = busy(job, rows: 512, speeds: [Double](repeating: 1, count: threads))
            #expect(share > 0.84, "\(threads) threads: \(share)")
        }
    }

    /// Panels are the only cut of a single token: with more threads than panels the rest looks on.
    @Test(arguments: jobs) func aTokenKeepsAsManyThreadsBusyAsThereArePanels(job: Job) {
        for threads in Self.threads {
            let share = busy(job, rows: 1, speeds: [Double](repeating: 1, count: threads))
            let panels = Double(job.panels)
            let turns = (panels / Double(threads)).rounded(.up)
            let possible = panels / (Double(threads) * turns)
            #expect(share > 0.7 * possible, "\(threads) threads: \(share) of \(possible)")
        }
    }

    /// Every other thread shares its core with somebody else's work.
    @Test(arguments: jobs) func threadsOfDifferentSpeedsEndTogether(job: Job) {
        for threads in [2, 4, 8, 16] {
            let share = busy(job, rows: 512, speeds: (0..<threads).map { $0 % 2 == 0 ? 1 : 0.5 })
            #expect(share > 0.65, "\(threads) threads: \(share)")
        }
    }
}
