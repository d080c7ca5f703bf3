import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityInference

@Suite struct ModelLocationTests {
    @Test func theEmbeddedModelIsFoundFromAnywhereInThePackage() {
        let root = Fixtures.package.standardizedFileURL.path
        for start in [root, "\(root)/Sources/Core", "\(root)/no/such/place"] {
            #expect(ModelLocation.search(upFrom: start) == "\(root)/Models/duality-tiny", "from \(start)")
        }
    }

    @Test func outsideThePackageThereIsNone() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        #expect(ModelLocation.search(upFrom: directory.path) == nil)
        #expect(ModelLocation.search(upFrom: "/") == nil)
    }

    @Test func aPathThatIsGivenIsTaken() throws {
        #expect(try ModelLocation.find("some/where") == "some/where")
        #expect(try ModelLocation.find("~/model") == NSHomeDirectory() + "/model")
    }
}
