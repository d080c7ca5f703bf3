//  How far a correct kernel of a given arithmetic can be from the exact answer: a certificate,
//  number by number.
//
//      |ŷ - y| <= bound        for every kernel of this arithmetic, whatever the order of its sums
//
//  The bound is carried along with the operator: BoundedSequence.swift has the steps,
//  RecurrentBound.swift and ChunkedBound.swift the forms, and here are the skip, the gate
//  and the rounding of the output. It is proved, not fitted; docs/numerics.md has the derivation
//  and every assumption. That it is some ten to a hundred times larger than the errors one sees is
//  the price of being certain; RoundingSigma.swift estimates what one sees.

import DualityCore
import DualityReference

extension SSDInputs<Double> {
    /// Sizes of errors, gathered from those of every head of every sequence.
    ///
    /// - Parameters:
    ///   - ofHead: walks one head over the tokens of one run, without skip and gate.
    ///   - finish: takes the sizes for S_t C_t and that itself to those for y, `[B, L, H, P]`.
    func errorSizes(
        ofHead: (SSDRun, _ head: Int) -> HeadErrors,
        finish: (_ errors: inout Tensor<Double>, _ exact: Tensor<Double>) -> Void
    ) -> SSDErrorSizes {
        let ones = Tensor(repeating: 1.0, shape: dt.shape)
        var exact = SSDOutputs(for: self, statesEvery: nil)
        var errors = exact
        for run in runs {
            for head in 0..<heads {
                let result = ofHead(run, head)
                let y = HeadResult(y: result.y, states: [result.stateErrors])
                let yErrors = HeadResult(y: result.yErrors, states: [result.stateErrors])
                exact.store(y, of: run, head: head, steps: ones, rate: 0)
                errors.store(yErrors, of: run, head: head, steps: ones, rate: 0)
            }
        }
        errors.gatherFinalStates(of: self)
        finish(&errors.y, exact.y)
        return SSDErrorSizes(y: errors.y, finalState: errors.finalState, sequenceStates: errors.sequenceStates)
    }
}

extension KernelArithmetic {
    /// The most that a correct kernel of this arithmetic can differ from the float64 oracle,
    /// `SSDForm.recurrent.evaluate(inputs)`, in each number of its result.
    ///
    /// Infinite where a format may overflow. The operands are the exact ones: where the kernel
    /// rounds them on reading, that is part of the bound.
    ///
    /// - Throws: `InputError` when dt, dtBias or A overflow their formats.
    /// - Complexity: a small multiple of the form's own time; O(L P) memory beside the result.
    public func errorBound(for inputs: SSDInputs<Double>) throws(InputError) -> SSDErrorSizes {
        _ = try rounded(inputs)  // what the kernel cannot read has no bound
        var sizes = bound(for: inputs)
        if accumulate == .f64 {
            // Then the oracle's own rounding is of the same size.
            sizes = sizes + KernelArithmetic(.f64, form: .recurrent).bound(for: inputs)
        }
        return sizes.enlarged
    }

    private func bound(for inputs: SSDInputs<Double>) -> SSDErrorSizes {
        let steps = boundedSteps(of: inputs)
        return inputs.errorSizes { run, head in
            let sequence = BoundedSequence(inputs, steps: steps, run: run, head: head, arithmetic: self)
            return chunkSize.map { sequence.chunkedBound(self, size: $0) } ?? sequence.recurrentBound(self)
        } finish: {
            finish(&$0, $1, inputs)
        }
    }

    /// The skip, the gate and the output's format.
    private func finish(_ errors: inout Tensor<Double>, _ y: Tensor<Double>, _ inputs: SSDInputs<Double>) {
        let (heads, headDim, xHeads) = (inputs.heads, inputs.headDim, inputs.x.shape[2])
        func read(_ value: Double, as format: NumberFormat) -> Bounded {
            Bounded(value, error: (value - format.round(value)).magnitude)
        }
        let storage = storage(output)
        let (beforeSkip, beforeGate) = (skippedOutput.map(self.storage), gatedOutput.map(self.storage))
        for i in errors.elements.indices {
            let (token, head, p) = (i / (heads * headDim), i / headDim % heads, i % headDim)
            var number = Bounded(y.elements[i], error: errors.elements[i])
            if let d = inputs.d {
                if let beforeSkip { number = number.rounded(beforeSkip) }
                let x = inputs.x.elements[(token * xHeads + inputs.headMap.x[head]) * headDim + p]
                let weight = d.elements[d.shape.count == 2 ? head * headDim + p : head]
                let skip = read(weight, as: parameters) * read(x, as: self.inputs)
                number = (number + skip.rounded(operation)).rounded(operation)
            }
            if let z = inputs.z {
                if let beforeGate { number = number.rounded(beforeGate) }
                number = (number * silu(read(z.elements[i], as: self.inputs))).rounded(operation)
            }
            errors.elements[i] = number.rounded(storage).error
        }
    }

    /// z / (1 + exp(-z)), or z times that quotient of one.
    func silu(_ z: Bounded) -> Bounded {
        let value = Double.silu(z.value)
        // exp, the sum, the quotient and the product; the slope of silu is below 1.1.
        let relative = (1 + relativeErrorOfExp(z.magnitude)) * (1 + operation.growth(4)) - 1
        // Where exp(-z) overflows or the sigmoid underflows the result is 0 instead.
        let lost = z.value < -80 ? value.magnitude : 0
        return Bounded(
            value,
            error: value.magnitude * relative + 1.1 * z.error * (1 + relative) + operation.tiny * (1 + z.magnitude)
                + lost)
    }
}
