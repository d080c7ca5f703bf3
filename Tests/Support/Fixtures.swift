//  Where the test data lies, found from this file, so that tests run from any directory.

import Foundation

/// Files of the checkout that tests read.
public enum Fixtures {
    /// The root of the checkout.
    public static let package = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// The path of a file in Tests/Fixtures, such as `ssd/len1.safetensors`.
    public static func path(_ name: String) -> String {
        package.appendingPathComponent("Tests/Fixtures/\(name)").path
    }

    /// The embedded model's directory.
    public static let embeddedModel = package.appendingPathComponent("Models/duality-tiny").path

    /// A fresh directory for the files one test writes; remove it when done.
    public static func temporaryDirectory() throws -> URL {
        let url = FileManager.default.temporaryDirectory.appendingPathComponent("duality-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
        return url
    }
}
