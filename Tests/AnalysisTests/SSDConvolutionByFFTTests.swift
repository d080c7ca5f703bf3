#if Analysis
    import DualityAnalysis
    import DualityCore
    import DualityReference
    import TestSupport
    import Testing

    /// The convolution form by FFT is the recurrence, as long as nothing changes with time.
    @Suite struct SSDConvolutionByFFTTests {
        /// dt, B and C of the first token for all; two heads share x, B and C have one head a head.
        static func constant<Scalar: RealNumber>(
            length: Int, decay: Double, packing: Packing? = nil
        ) throws -> SSDInputs<Scalar> {
            var random = RandomSource(seed: UInt64(length))
            func tensor(_ shape: [Int], _ scale: Double = 1, held: Bool = false) -> Tensor<Scalar> {
                var tensor = Tensor(repeating: Scalar.zero, shape: shape)
                let width = held ? shape[2...].reduce(1, *) : tensor.count
                for i in tensor.elements.indices {
                    tensor.elements[i] = i < width ? Scalar(Float(scale * random.normal())) : tensor.elements[i % width]
                }
                return tensor
            }
            return try SSDInputs(
                x: tensor([1, length, 1, 3]), dt: tensor([1, length, 2], held: true),
                a: tensor([2], decay).map { -$0.magnitude }, b: tensor([1, length, 2, 4], held: true),
                c: tensor([1, length, 2, 4], held: true), d: tensor([2]),
                initialState: tensor([1, 2, 3, 4]), packing: packing)
        }

        @Test(arguments: [1, 2, 63, 64, 65, 509, 4096], [1e-8, 0.1, 10])
        func itIsTheRecurrence(length: Int, decay: Double) throws {
            let inputs: SSDInputs<Double> = try Self.constant(length: length, decay: decay)
            let expected = try SSDForm.recurrent.evaluate(inputs)
            let found = try SSDForm.convolutionByFFT(inputs)
            let errors = [
                relativeL2(found.y.elements, expected.y.elements),
                relativeL2(found.finalState.elements, expected.finalState.elements),
            ]
            #expect(errors.allSatisfy { $0 < 1e-13 }, "\(errors)")

            let narrow = try SSDForm.convolutionByFFT(inputs.converted(to: Float.self))
            let error = relativeL2(narrow.y.elements, expected.y.elements)
            #expect(error < 2e-6, "\(error)")
        }

        @Test func packedSequencesDoNotWrapIntoEachOther() throws {
            let inputs: SSDInputs<Double> = try Self.constant(
                length: 40, decay: 0.1, packing: Packing(cumulativeLengths: [0, 17, 17, 40]))
            let expected = try SSDForm.recurrent.evaluate(inputs)
            let error = try relativeL2(SSDForm.convolutionByFFT(inputs).y.elements, expected.y.elements)
            #expect(error < 1e-13, "\(error)")
        }

        @Test func anOperatorThatChangesIsRefused() throws {
            var random = RandomSource(seed: 1)
            var changing: Tensor<Double> = Tensor(repeating: 0, shape: [1, 8, 2])
            for i in changing.elements.indices { changing.elements[i] = random.normal() }
            let inputs: SSDInputs<Double> = try Self.constant(length: 8, decay: 1)
            let selective = try SSDInputs(x: inputs.x, dt: changing, a: inputs.a, b: inputs.b, c: inputs.c)
            #expect(throws: InputError.self) { try SSDForm.convolutionByFFT(selective) }
        }

        @Test func xThatDoesNotFitTheKernelIsTurnedAway() {
            #expect(throws: InputError.self) { try convolveByFFT([1.0, 2.0], [1.0, 2.0, 3.0], 2) }
        }
    }
#endif
