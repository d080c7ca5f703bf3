//  weave SCRIPTS BINARIES SITE: runs the scripts and makes a static site of them.

import DualityCore
import DualityNotebook
import Foundation

let arguments = CommandLine.arguments.dropFirst().map { URL(fileURLWithPath: $0) }

/// A line for the person who waits.
func tell(_ sentence: String) {
    FileHandle.standardError.write(Data("\(sentence)\n".utf8))
}

guard arguments.count == 3 else {
    tell("usage: weave SCRIPTS BINARIES SITE     (make notebooks does it all)")
    exit(2)
}
do {
    try Site(scripts: arguments[0], binaries: arguments[1], site: arguments[2]).build(progress: tell)
} catch {
    tell("\(error)")
    // 1 is for a script whose claims do not hold, 2 for what is missing or malformed.
    exit((error as? InputError)?.kind == .value ? 1 : 2)
}
