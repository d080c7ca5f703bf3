//  The machine a report was made on, in words.

import DualityCore

/// The machine a report was made on.
enum Machine {
    static var description: String {
        #if os(Linux)
            let system = "Linux"
        #else
            let system = "macOS"
        #endif
        #if arch(x86_64)
            let architecture = "x86_64"
        #else
            let architecture = "arm64"
        #endif
        return "\(system) \(architecture), \(FileSystem.processorCount) cores"
    }
}
