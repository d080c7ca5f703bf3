#if Analysis
    import DualityAnalysis
    import DualityCore
    import TestSupport
    import Testing

    /// The transform against its definition, and against its inverse.
    @Suite struct RealFFTTests {
        static func signal(_ length: Int) -> [Double] {
            var random = RandomSource(seed: UInt64(length))
            return (0..<length).map { _ in random.normal() }
        }

        @Test(arguments: [1, 2, 3, 4, 7, 12, 31, 64, 97]) func itIsTheSumOfTheDefinition(length: Int) throws {
            let signal = Self.signal(length)
            let found = try RealFFT<Double>(length: length).forward(signal)
            var (real, imaginary): ([Double], [Double]) = ([], [])
            for k in 0...length / 2 {
                let turns = (0..<length).map { 2 * Double.pi * Double($0 * k % length) / Double(length) }
                real.append(zip(signal, turns).reduce(0) { $0 + $1.0 * .cos($1.1) })
                imaginary.append(zip(signal, turns).reduce(0) { $0 - $1.0 * .sin($1.1) })
            }
            let error = max(maximumDifference(found.real, real), maximumDifference(found.imaginary, imaginary))
            #expect(error < 1e-13, "\(length): \(error)")
        }

        @Test(arguments: [1, 2, 5, 64, 1009, 1024]) func theInverseGivesTheSignalBack(length: Int) throws {
            let signal = Self.signal(length)
            let double = try RealFFT<Double>(length: length)
            let single = try RealFFT<Float>(length: length)
            let narrow = signal.map { Float($0) }
            let errors = try [
                relativeL2(double.inverse(double.forward(signal)), signal),
                relativeL2(single.inverse(single.forward(narrow)), narrow),
            ]
            #expect(errors[0] < 1e-15, "\(errors)")
            #expect(errors[1] < 5e-7, "\(errors)")
        }

        @Test func wrongLengthsAreTurnedAway() throws {
            #expect(throws: InputError.self) { try RealFFT<Double>(length: 0) }
            let transform = try RealFFT<Double>(length: 4)
            #expect(throws: InputError.self) { try transform.forward([1, 2, 3, 4, 5]) }
            let other = try RealFFT<Double>(length: 5).forward([1])
            #expect(throws: InputError.self) { try transform.inverse(other) }
        }

        @Test func fastLengthsHaveSmallFactorsOnly() {
            #expect([0, 1, 11, 13, 121, 1023].map { fastTransformLength(atLeast: $0) } == [1, 1, 12, 14, 125, 1024])
        }
    }
#endif
