import DualityCore
import DualityReference
import TestSupport
import Testing

@testable import DualityVerify

/// The comparison behind `duality check` finds what it should and passes what it should.
@Suite struct SSDAgreementTests {
    @Test func theFormsAgreeOnGeneratedOperands() throws {
        let inputs = try SSDShape(length: 90, headDim: 8, stateDim: 16).inputs()
        let rows = try SSDAgreement.measure(on: [("generated", inputs)])
        #expect(rows.map(\.form) == SSDAgreement.forms + SSDAgreement.forms)
        #expect(rows.map(\.precision) == Array(repeating: "f64", count: 6) + Array(repeating: "f32", count: 6))
        for row in rows { #expect(row.passes, "\(row)") }
        #expect(rows[0].worst.error == 0, "the oracle is compared with itself")
        #expect(rows.dropFirst(6).allSatisfy { $0.y.error > 1e-9 }, "float32 is not float64")
    }

    @Test func headsInTurnAreHeldAgainstTheirOwnBounds() throws {
        let inputs = try SSDShape(length: 40, headDim: 4, stateDim: 8).inputs()
        let all = try SSDAgreement.measure(on: [("all", inputs)])
        for turn in 0..<inputs.heads {
            let rows = try SSDAgreement.measure(on: [("all", inputs)], turn: turn)
            for (i, (row, whole)) in zip(rows, all).enumerated() {
                #expect(row.y.error == whole.y.error && row.finalState.error == whole.finalState.error)
                guard let sigma = row.overSigma, let largest = whole.overSigma else { continue }
                #expect(sigma.head == (turn + i % SSDAgreement.forms.count) % inputs.heads)
                // The head that is the worst of all is the worst in its own turn, by the same
                // ratio.
                #expect(sigma.head == largest.head ? sigma.error == largest.error : sigma.error <= largest.error)
            }
        }
    }

    @Test func aFaintHeadIsNotDrownedByALoudOne() throws {
        let oracle = try Tensor(shape: [1, 2, 2, 1], elements: [1e6, 1e-6, 1e6, 1e-6])
        let found = try Tensor(shape: [1, 2, 2, 1], elements: [1e6, 2e-6, 1e6, 1e-6])
        let errors = errorsByHead(found, oracle, headAxis: 2)
        #expect(errors[0] == 0)
        #expect((errors[1] - 0.5.squareRoot()).magnitude < 1e-15, "\(errors)")
        #expect(errorsByHead(found, found.map { _ in 0 }, headAxis: 2)[0] == 2e12.squareRoot(), "absolute against zero")
    }

    @Test func aNumberThatIsNoneFails() throws {
        let inputs = try SSDShape(length: 10).inputs()
        var x = inputs.x
        x.elements[x.count - 1] = .nan
        let rows = try SSDAgreement.measure(on: [("fine", inputs), ("broken", inputs.replacing(x: x))])
        for row in rows {
            #expect(!row.passes)
            #expect(row.worst.error == .infinity)
            #expect(row.worst.place == "broken")
            #expect([2, 3].contains(row.worst.head), "the heads that read the last head of x")
        }
    }

    @Test func anErrorOverTheLimitFails() {
        let worst = SSDAgreement.Worst(error: 3e-6, place: "layer 1", head: 2)
        let row = SSDAgreement(form: .quadratic, precision: "f32", y: .init(), finalState: worst, limit: 2e-6)
        #expect(!row.passes)
        #expect(row.worst.place == "layer 1")
    }
}
