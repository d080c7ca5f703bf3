//  Reports of single cases as bytes: what a rank sends of the cases that it has judged.
//
//  All fields travel, in the order of their declaration; a test holds them to that.

import DualityCore

extension Verdict: Portable {}
extension CaseKind: Portable {}

extension CaseReport: Portable {
    package func write(to bytes: inout PortableWriter) {
        bytes.add(each: name, kind, catches, outputs, problems, notChecked, diagnosis, repeats)
        bytes.add(each: precision, remarks, inputFormat, hash, seed, decays)
    }

    package init(from bytes: inout PortableReader) throws(InputError) {
        self.init(name: try bytes.next(), kind: try bytes.next())
        (catches, outputs, problems, notChecked) = (
            try bytes.next(), try bytes.next(), try bytes.next(), try bytes.next()
        )
        (diagnosis, repeats, precision, remarks) = (
            try bytes.next(), try bytes.next(), try bytes.next(), try bytes.next()
        )
        (inputFormat, hash, seed, decays) = (try bytes.next(), try bytes.next(), try bytes.next(), try bytes.next())
    }
}

extension OutputReport: Portable {
    package func write(to bytes: inout PortableWriter) {
        bytes.add(each: name, verdict, shape, dtype, maxError, rmsError, relativeError, errorOverBound, errorOverSigma)
        bytes.add(each: rmsOverSigma, medianOverSigma, errorOverFloor, condition, ulps, count, overBound, overSigma)
        bytes.add(each: nonFinite, firstOutside, worst, growth, map, reason)
    }

    package init(from bytes: inout PortableReader) throws(InputError) {
        self.init(
            name: try bytes.next(), verdict: try bytes.next(), shape: try bytes.next(), dtype: try bytes.next(),
            maxError: try bytes.next(), rmsError: try bytes.next(), relativeError: try bytes.next(),
            errorOverBound: try bytes.next(), errorOverSigma: try bytes.next(), rmsOverSigma: try bytes.next(),
            medianOverSigma: try bytes.next(), errorOverFloor: try bytes.next(), condition: try bytes.next(),
            ulps: try bytes.next(), count: try bytes.next(), overBound: try bytes.next(), overSigma: try bytes.next(),
            nonFinite: try bytes.next(), firstOutside: try bytes.next(), worst: try bytes.next(),
            growth: try bytes.next(), map: try bytes.next(), reason: try bytes.next())
    }
}

extension Place: Portable {
    package func write(to bytes: inout PortableWriter) {
        bytes.add(each: index, token, head, channel, row, chunk, positionInChunk, found, expected, bound, sigma)
    }

    package init(from bytes: inout PortableReader) throws(InputError) {
        self.init(
            index: try bytes.next(), token: try bytes.next(), head: try bytes.next(), channel: try bytes.next(),
            row: try bytes.next(), chunk: try bytes.next(), positionInChunk: try bytes.next(),
            found: try bytes.next(), expected: try bytes.next(), bound: try bytes.next(), sigma: try bytes.next())
    }
}

extension Growth: Portable {
    package func write(to bytes: inout PortableWriter) {
        bytes.add(each: tokens, rms, overSigma, words, exponent)
    }

    package init(from bytes: inout PortableReader) throws(InputError) {
        self.init(
            tokens: try bytes.next(), rms: try bytes.next(), overSigma: try bytes.next(), words: try bytes.next(),
            exponent: try bytes.next())
    }
}

extension ErrorMap: Portable {
    package func write(to bytes: inout PortableWriter) {
        bytes.add(each: tokens, heads, overSigma, headRMS)
    }

    package init(from bytes: inout PortableReader) throws(InputError) {
        self.init(
            tokens: try bytes.next(), heads: try bytes.next(), overSigma: try bytes.next(), headRMS: try bytes.next())
    }
}

extension Diagnosis: Portable {
    package func write(to bytes: inout PortableWriter) {
        bytes.add(each: findings, structure)
    }

    package init(from bytes: inout PortableReader) throws(InputError) {
        self.init(findings: try bytes.next(), structure: try bytes.next())
    }
}

extension Finding: Portable {
    package func write(to bytes: inout PortableWriter) {
        bytes.add(each: names, scope, remainder, worst, explained, isTied)
    }

    package init(from bytes: inout PortableReader) throws(InputError) {
        self.init(
            names: try bytes.next(), scope: try bytes.next(), remainder: try bytes.next(), worst: try bytes.next(),
            explained: try bytes.next(), isTied: try bytes.next())
    }
}

extension RepeatedOutput: Portable {
    package func write(to bytes: inout PortableWriter) {
        bytes.add(each: name, count, differing, first, values?.first, values?.second, largest, relative, place)
    }

    package init(from bytes: inout PortableReader) throws(InputError) {
        (name, count, differing, first) = (try bytes.next(), try bytes.next(), try bytes.next(), try bytes.next())
        let pair: (first: Double?, second: Double?) = (try bytes.next(), try bytes.next())
        values = pair.first.flatMap { first in pair.second.map { (first, $0) } }
        (largest, relative, place) = (try bytes.next(), try bytes.next(), try bytes.next())
    }
}

extension SealReport.Case: Portable {
    package func write(to bytes: inout PortableWriter) {
        bytes.add(each: name, count, same, largestShare, disagreement)
    }

    package init(from bytes: inout PortableReader) throws(InputError) {
        self.init(
            name: try bytes.next(), count: try bytes.next(), same: try bytes.next(), largestShare: try bytes.next(),
            disagreement: try bytes.next())
    }
}
