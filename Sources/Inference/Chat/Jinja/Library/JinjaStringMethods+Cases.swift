//  Upper and lower case, and what the characters of a string are.

extension JinjaStringMethods {
    static let cases: [String: Method] = [
        "upper": mapped { $0.string.uppercased() },
        "lower": mapped { $0.string.lowercased() },
        "casefold": mapped { $0.string.lowercased().replacing("ß", with: "ss") },
        "capitalize": mapped(capitalized),
        "title": mapped(titled),
        "swapcase": mapped { text in
            text.scalars.map { scalar in
                scalar.properties.isUppercase
                    ? scalar.properties.lowercaseMapping
                    : scalar.properties.isLowercase ? scalar.properties.uppercaseMapping : String(scalar)
            }.joined()
        },
    ]

    private static func mapped(_ map: @escaping @Sendable (JinjaText) -> String) -> Method {
        { run, text, arguments in
            guard arguments.positional.isEmpty, arguments.named.isEmpty else {
                throw run.fail("the method takes no arguments")
            }
            return try run.text(text.replaced(by: map(text)))
        }
    }

    /// The first character in title case, the others in lower case.
    static func capitalized(_ text: JinjaText) -> String {
        guard let first = text.scalars.first else { return "" }
        let rest = String(text.string.unicodeScalars.dropFirst())
        return first.properties.titlecaseMapping + rest.lowercased()
    }

    /// Every run of letters as a word with a capital.
    static func titled(_ text: JinjaText) -> String {
        var result = ""
        var isInside = false
        for scalar in text.scalars {
            let isCased = scalar.properties.isCased
            result += isInside ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
            isInside = isCased
        }
        return result
    }

    // MARK: Predicates

    static let predicates: [String: Method] = [
        "isalpha": every { isLetter($0) },
        "isdigit": every { isDecimal($0) || $0.properties.numericType == .digit },
        "isdecimal": every { isDecimal($0) },
        "isnumeric": every { $0.properties.numericType != nil },
        "isalnum": every { isLetter($0) || $0.properties.numericType != nil },
        "isspace": every { $0.isPythonSpace },
        "isprintable": every(ofNone: true) { PythonText.isPrintable($0) },
        "isascii": every(ofNone: true) { $0.isASCII },
        "islower": { _, text, _ in .bool(isCased(text, lower: true)) },
        "isupper": { _, text, _ in .bool(isCased(text, lower: false)) },
        "istitle": { _, text, _ in .bool(isTitle(text)) },
        "isidentifier": { _, text, _ in
            let scalars = text.scalars
            guard let first = scalars.first, first == "_" || first.properties.isXIDStart else { return .bool(false) }
            return .bool(scalars.dropFirst().allSatisfy { $0.properties.isXIDContinue })
        },
    ]

    private static func every(ofNone: Bool = false, _ holds: @escaping @Sendable (Unicode.Scalar) -> Bool) -> Method {
        { _, text, _ in .bool(text.isEmpty ? ofNone : text.scalars.allSatisfy(holds)) }
    }

    private static func isDecimal(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.generalCategory == .decimalNumber
    }

    private static func isLetter(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }

    /// Whether all letters that have a case have this one, and there is at least one.
    static func isCased(_ text: JinjaText, lower: Bool) -> Bool {
        var seen = false
        for scalar in text.scalars {
            let properties = scalar.properties
            let isLower = properties.isLowercase
            let isUpper = properties.isUppercase || properties.generalCategory == .titlecaseLetter
            if lower ? isUpper : isLower || properties.generalCategory == .titlecaseLetter { return false }
            seen = seen || (lower ? isLower : isUpper)
        }
        return seen
    }

    private static func isTitle(_ text: JinjaText) -> Bool {
        var seen = false
        var isInside = false
        for scalar in text.scalars {
            let properties = scalar.properties
            if properties.isUppercase || properties.generalCategory == .titlecaseLetter {
                if isInside { return false }
                (isInside, seen) = (true, true)
            } else if properties.isLowercase {
                if !isInside { return false }
                seen = true
            } else {
                isInside = false
            }
        }
        return seen
    }
}
