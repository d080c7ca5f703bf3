//  The values of the keyword `format` that are kept, as regular expressions.

import DualityCore

/// A format of strings.
enum StringFormat: String, CaseIterable, Sendable {
    /// RFC 3339 full-date, of the days that exist from year 1 on.
    case date
    /// RFC 3339 full-time, without leap seconds.
    case time
    case dateTime = "date-time"
    case uuid
    case ipv4
    /// The addresses that nobody disputes: words with dots, hyphens and plus signs, as short as RFC
    /// 5321 wants them, without which a model that likes dots never ends.
    case email

    /// Matches the whole string.
    var pattern: String {
        switch self {
        case .date: Self.day
        case .time: Self.clock
        case .dateTime: "(?:\(Self.day))T(?:\(Self.clock))"
        case .uuid: "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
        case .ipv4: "(?:\(Self.octet)\\.){3}\(Self.octet)"
        case .email: "\(Self.mailbox)@(?:\(Self.label)\\.){1,4}[A-Za-z]{2,24}"
        }
    }

    private static let mailbox = "[A-Za-z0-9_]{1,16}(?:[.+-][A-Za-z0-9_]{1,15}){0,3}"

    private static let label = "[A-Za-z0-9]{1,21}(?:-[A-Za-z0-9]{1,20}){0,2}"

    private static let octet = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"

    private static let clock =
        "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"

    private static let day: String = {
        let year = "(?:000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
        let fourth = "(?:0[48]|[2468][048]|[13579][26])"
        let leapYear = "(?:[0-9]{2}\(fourth)|\(fourth)00)"
        let long = "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
        let short = "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
        let february = "02-(?:0[1-9]|1[0-9]|2[0-8])"
        return "\(year)-(?:\(long)|\(short)|\(february))|\(leapYear)-02-29"
    }()
}
