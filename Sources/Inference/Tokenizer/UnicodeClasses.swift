//  What the pre-tokenizer and the normaliser need to know of a Unicode scalar, as one byte a
//  scalar.
//
//  A token id may not depend on the toolchain that built the program, so the Unicode versions are
//  pinned to those of the reference (Hugging Face tokenizers 0.23): letters, numbers and white
//  space are those of Unicode 16.0 (Oniguruma 6.9.10), normalisation is that of Unicode 9.0 (crate
//  unicode-normalization-alignments). The standard library knows a later version and the age of
//  every scalar, so that a scalar too young for a purpose is treated as unassigned. Both were
//  compared with the reference on every scalar; the test `classesAreThoseOfOniguruma` holds the
//  checksum.

/// The properties of a Unicode scalar that matter to tokenisation.
struct ScalarClass: OptionSet {
    let rawValue: UInt8

    /// `\p{L}`
    static let letter = ScalarClass(rawValue: 1)
    /// `\p{N}`
    static let number = ScalarClass(rawValue: 2)
    /// `\s`: White_Space.
    static let space = ScalarClass(rawValue: 4)
    /// Canonical combining class other than 0: the scalar may have to change places with its
    /// neighbours.
    static let reorders = ScalarClass(rawValue: 8)
    /// NFC_Quick_Check is No or Maybe: the scalar may change or may join the one before it.
    static let composes = ScalarClass(rawValue: 16)
    /// Younger than the normaliser's Unicode version: it stays as it is and nothing joins it.
    static let inert = ScalarClass(rawValue: 32)
}

/// `ScalarClass` of every scalar.
enum UnicodeClasses {
    /// Scalars from here on are neither letter, number nor space in Unicode 16.0, and normalise to
    /// themselves.
    static let limit = 0x323b0

    /// One byte a scalar below `limit`. Made on first use, in about ten milliseconds.
    static let table: [UInt8] = {
        var table = [UInt8](repeating: 0, count: limit)
        for value in 0..<limit {
            guard let scalar = Unicode.Scalar(UInt32(value)) else { continue }
            let properties = scalar.properties
            let age = properties.age ?? (major: .max, minor: 0)
            var classes: ScalarClass = []
            if age.major <= 16 {
                switch properties.generalCategory {
                case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
                    classes.insert(.letter)
                case .decimalNumber, .letterNumber, .otherNumber:
                    classes.insert(.number)
                default:
                    break
                }
                if properties.isWhitespace { classes.insert(.space) }
            }
            if age.major > 9 {
                classes.insert(.inert)
            } else if properties.canonicalCombiningClass != .notReordered {
                classes.insert(.reorders)
            }
            table[value] = classes.rawValue
        }
        for range in quickCheckFails {
            for value in range where table[value] & ScalarClass.inert.rawValue == 0 {
                table[value] |= ScalarClass.composes.rawValue
            }
        }
        return table
    }()

    /// NFC_Quick_Check=No or Maybe in Unicode 9.0 (DerivedNormalizationProps.txt).
    private static let quickCheckFails: [ClosedRange<Int>] = [
        0x300...0x304, 0x306...0x30c, 0x30f...0x30f, 0x311...0x311, 0x313...0x314, 0x31b...0x31b, 0x323...0x328,
        0x32d...0x32e, 0x330...0x331, 0x338...0x338, 0x340...0x345, 0x374...0x374, 0x37e...0x37e, 0x387...0x387,
        0x653...0x655, 0x93c...0x93c, 0x958...0x95f, 0x9be...0x9be, 0x9d7...0x9d7, 0x9dc...0x9dd, 0x9df...0x9df,
        0xa33...0xa33, 0xa36...0xa36, 0xa59...0xa5b, 0xa5e...0xa5e, 0xb3e...0xb3e, 0xb56...0xb57, 0xb5c...0xb5d,
        0xbbe...0xbbe, 0xbd7...0xbd7, 0xc56...0xc56, 0xcc2...0xcc2, 0xcd5...0xcd6, 0xd3e...0xd3e, 0xd57...0xd57,
        0xdca...0xdca, 0xdcf...0xdcf, 0xddf...0xddf, 0xf43...0xf43, 0xf4d...0xf4d, 0xf52...0xf52, 0xf57...0xf57,
        0xf5c...0xf5c, 0xf69...0xf69, 0xf73...0xf73, 0xf75...0xf76, 0xf78...0xf78, 0xf81...0xf81, 0xf93...0xf93,
        0xf9d...0xf9d, 0xfa2...0xfa2, 0xfa7...0xfa7, 0xfac...0xfac, 0xfb9...0xfb9, 0x102e...0x102e, 0x1161...0x1175,
        0x11a8...0x11c2, 0x1b35...0x1b35, 0x1f71...0x1f71, 0x1f73...0x1f73, 0x1f75...0x1f75, 0x1f77...0x1f77,
        0x1f79...0x1f79, 0x1f7b...0x1f7b, 0x1f7d...0x1f7d, 0x1fbb...0x1fbb, 0x1fbe...0x1fbe, 0x1fc9...0x1fc9,
        0x1fcb...0x1fcb, 0x1fd3...0x1fd3, 0x1fdb...0x1fdb, 0x1fe3...0x1fe3, 0x1feb...0x1feb, 0x1fee...0x1fef,
        0x1ff9...0x1ff9, 0x1ffb...0x1ffb, 0x1ffd...0x1ffd, 0x2000...0x2001, 0x2126...0x2126, 0x212a...0x212b,
        0x2329...0x232a, 0x2adc...0x2adc, 0x3099...0x309a, 0xf900...0xfa0d, 0xfa10...0xfa10, 0xfa12...0xfa12,
        0xfa15...0xfa1e, 0xfa20...0xfa20, 0xfa22...0xfa22, 0xfa25...0xfa26, 0xfa2a...0xfa6d, 0xfa70...0xfad9,
        0xfb1d...0xfb1d, 0xfb1f...0xfb1f, 0xfb2a...0xfb36, 0xfb38...0xfb3c, 0xfb3e...0xfb3e, 0xfb40...0xfb41,
        0xfb43...0xfb44, 0xfb46...0xfb4e, 0x110ba...0x110ba, 0x11127...0x11127, 0x1133e...0x1133e, 0x11357...0x11357,
        0x114b0...0x114b0, 0x114ba...0x114ba, 0x114bd...0x114bd, 0x115af...0x115af, 0x1d15e...0x1d164,
        0x1d1bb...0x1d1c0, 0x2f800...0x2fa1d,
    ]
}

extension UnsafeBufferPointer<UInt8> {
    /// The length in bytes and the value of the scalar whose UTF-8 starts at `index`; the bytes
    /// must be valid UTF-8.
    @inline(__always)
    func scalar(at index: Int) -> (length: Int, value: Int) {
        let lead = Int(self[index])
        if lead < 0x80 { return (1, lead) }
        if lead < 0xe0 { return (2, (lead & 0x1f) << 6 | Int(self[index + 1]) & 0x3f) }
        if lead < 0xf0 {
            return (3, (lead & 0x0f) << 12 | (Int(self[index + 1]) & 0x3f) << 6 | Int(self[index + 2]) & 0x3f)
        }
        return (
            4,
            (lead & 0x07) << 18 | (Int(self[index + 1]) & 0x3f) << 12 | (Int(self[index + 2]) & 0x3f) << 6
                | Int(self[index + 3]) & 0x3f
        )
    }
}
