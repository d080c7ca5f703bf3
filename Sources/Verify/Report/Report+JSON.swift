//  The report for programs. `schema` is 1; keys are added, never changed.

import DualityCore

extension Report {
    /// `{"schema", "verdict", "cases": [{"name", "verdict", "diagnosis", "outputs", …}], …}`
    public var json: JSON {
        [
            "schema": 1,
            "verdict": .string(verdict.rawValue),
            "candidate": .string(candidate),
            "reference": .string(reference),
            "machine": .string(machine),
            "problems": .array(problems.map { .string($0) }),
            "diagnosis": .array(leadingFaults.map { ["name": .string($0.name), "cases": JSON($0.cases)] }),
            "not_checked": .array(cases.filter(\.isUnchecked).map { .string($0.name) }),
            "cases": .array(checked.map(\.json)),
        ]
    }
}

extension CaseReport {
    var json: JSON {
        var outputs = JSON.Object()
        for output in self.outputs { outputs[output.name] = output.json }
        var repeats = JSON.Object()
        for output in self.repeats {
            // Of several further runs the first that differs.
            if repeats[output.name] == nil || !output.isRepeated { repeats[output.name] = output.json }
        }
        return [
            "name": .string(name),
            "kind": .string(kind.rawValue),
            "verdict": .string(verdict.rawValue),
            "diagnosis": .array(diagnosis.names.map { .string($0) }),
            "evidence": .array(diagnosis.findings.map(\.json)),
            "structure": .array(diagnosis.structure.map { .string($0) }),
            "outputs": .object(outputs),
            "problems": .array(problems.map { .string($0) }),
            "not_checked": .array(notChecked.map { .string($0) }),
            "repeats": .object(repeats),
            "remarks": .array(remarks.map { .string($0) }),
            "precision": .string(precision),
            "inputs": .string(inputFormat),
            "catches": .string(catches),
            "seed": seed.map { .string(String($0)) } ?? .null,
            "sha256": .string(hash),
        ]
    }
}

extension Finding {
    var json: JSON {
        [
            "faults": .array(names.map { .string($0) }), "scope": scope.map { .string($0) } ?? .null,
            "remainder_over_sigma": JSON(remainder), "largest_remainder_over_sigma": JSON(worst),
            "explained": JSON(explained), "indistinguishable_from_previous": .bool(isTied),
        ]
    }
}

extension OutputReport {
    var json: JSON {
        func optional(_ value: Double?) -> JSON { value.map { JSON($0) } ?? .null }
        return [
            "verdict": .string(verdict.rawValue),
            "reason": .string(reason),
            "shape": .array(shape.map { JSON($0) }),
            "dtype": .string(dtype),
            "max_error": JSON(maxError),
            "rms_error": JSON(rmsError),
            "relative_error": JSON(relativeError),
            "error_over_bound": optional(errorOverBound),
            "error_over_sigma": JSON(errorOverSigma),
            "rms_over_sigma": JSON(rmsOverSigma),
            "median_over_sigma": JSON(medianOverSigma),
            "error_over_floor": optional(errorOverFloor),
            "condition": optional(condition),
            "ulps": ["p50": JSON(ulps[0]), "p90": JSON(ulps[1]), "p99": JSON(ulps[2]), "max": JSON(ulps[3])],
            "count": JSON(count),
            "over_bound": JSON(overBound),
            "over_sigma_limit": JSON(overSigma),
            "not_finite": JSON(nonFinite),
            "first_outside": firstOutside?.json ?? .null,
            "worst": worst?.json ?? .null,
            "growth": growth.map { ["words": .string($0.words), "exponent": JSON($0.exponent)] } ?? .null,
        ]
    }
}

extension Place {
    var json: JSON {
        func optional(_ value: Int?) -> JSON { value.map { JSON($0) } ?? .null }
        return [
            "index": .array(index.map { JSON($0) }), "row": optional(row), "token": optional(token),
            "head": optional(head), "channel": optional(channel), "chunk": optional(chunk),
            "position_in_chunk": optional(positionInChunk), "found": JSON(found), "expected": JSON(expected),
            "bound": bound.map { JSON($0) } ?? .null, "sigma": JSON(sigma),
        ]
    }
}
