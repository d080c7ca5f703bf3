#if Analysis
    import DualityAnalysis
    import DualityCore
    import DualityReference
    import TestSupport
    import Testing

    @Suite struct SingularValueTests {
        /// A product of a rotation, a diagonal and a rotation has the diagonal's.
        @Test func theyAreThoseThatWerePutIn() throws {
            let (s, c) = (Double.sin(0.7), Double.cos(0.7))
            // [c -s; s c] diag(3, 0.5) [s c 0; c -s 0]
            let matrix = try Tensor(
                shape: [2, 3],
                elements: [
                    3 * c * s - 0.5 * s * c, 3 * c * c + 0.5 * s * s, 0, 3 * s * s + 0.5 * c * c,
                    3 * s * c - 0.5 * c * s, 0,
                ])
            let found = try singularValues(of: matrix)
            #expect(maximumDifference(found, [3.0, 0.5]) < 1e-15, "\(found)")
            let single = try singularValues(of: matrix.converted(to: Float.self))
            #expect(maximumDifference(single, [3.0, 0.5]) < 1e-6, "\(single)")
        }

        @Test func aMatrixOfZerosHasRankZeroAndAnEmptyOneNoValues() throws {
            #expect(try numericalRank(of: Tensor(repeating: 0.0, shape: [3, 5])) == 0)
            #expect(try singularValues(of: Tensor(repeating: 0.0, shape: [0, 5])).isEmpty)
        }

        @Test func whatIsNoFiniteMatrixIsTurnedAway() {
            #expect(throws: InputError.self) { try singularValues(of: Tensor([1.0, 2.0])) }
            #expect(throws: InputError.self) { try singularValues(of: Tensor(repeating: Double.nan, shape: [2, 2])) }
        }
    }

    /// The matrix of the operator is the operator, and has the ranks that make it one.
    @Suite struct SSDMatrixTests {
        static func inputs(packing: Packing? = nil) throws -> SSDInputs<Double> {
            var random = RandomSource(seed: 5)
            func normal(_ shape: [Int]) -> Tensor<Double> {
                Tensor(repeating: 0.0, shape: shape).map { _ in random.normal() }
            }
            return try SSDInputs(
                x: normal([2, 40, 1, 3]), dt: normal([2, 40, 2]), a: Tensor([-0.2, -3]), b: normal([2, 40, 1, 4]),
                c: normal([2, 40, 2, 4]), packing: packing)
        }

        @Test func timesXItIsY() throws {
            var ids = Tensor(repeating: 0, shape: [2, 40])
            for t in 13..<40 { ids.elements[40 + t] = 1 }
            let inputs = try Self.inputs(packing: Packing(sequenceIds: ids))
            let y = try SSDForm.recurrent.evaluate(inputs).y
            for row in 0..<2 {
                for head in 0..<2 {
                    let matrix = try inputs.operatorMatrix(row: row, head: head)
                    for t in 0..<40 {
                        for p in 0..<3 {
                            let found = (0..<40).reduce(0.0) { $0 + matrix[t, $1] * inputs.x[row, $1, 0, p] }
                            let error = (found - y[row, t, head, p]).magnitude
                            #expect(error < 1e-12, "row \(row), head \(head), t \(t): \(error)")
                        }
                    }
                }
            }
        }

        @Test func blocksBelowTheDiagonalHaveTheRankOfTheState() throws {
            let inputs = try Self.inputs()
            let (matrix, mask) = try (inputs.operatorMatrix(head: 0), inputs.decayMask(head: 0))
            func block(_ matrix: Tensor<Double>) -> Tensor<Double> { matrix.rows(20..<40).columns(0..<20) }
            #expect(try numericalRank(of: block(matrix), tolerance: 1e-12) == 4)
            #expect(try numericalRank(of: block(mask), tolerance: 1e-12) == 1)
            #expect(try numericalRank(of: mask) == 40)
        }

        @Test func headsThatAreNotThereAreTurnedAway() throws {
            let inputs = try Self.inputs()
            #expect(throws: InputError.self) { try inputs.operatorMatrix(head: 2) }
            #expect(throws: InputError.self) { try inputs.decayMask(row: -1, head: 0) }
        }
    }
#endif
