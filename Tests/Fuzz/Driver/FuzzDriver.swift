//  The fuzzer: libFuzzer's entry when it is built with -DFUZZING, else a program that runs inputs.
//
//      duality-fuzz list                         the targets
//      duality-fuzz seeds TARGET FOLDER          writes what TARGET begins with
//      duality-fuzz TARGET FILE …                runs inputs: one that was found, or all of a corpus

import DualityFuzz
import Foundation

#if FUZZING
    /// What libFuzzer calls works on: the target that the environment names.
    private let work: (target: FuzzTarget, folder: FuzzFolder) = {
        let name = ProcessInfo.processInfo.environment["DUALITY_FUZZ_TARGET"] ?? ""
        guard let target = FuzzTarget(rawValue: name), let folder = try? FuzzFolder() else {
            fatalError("DUALITY_FUZZ_TARGET names no target: \"\(name)\"")
        }
        return (target, folder)
    }()

    @_cdecl("LLVMFuzzerTestOneInput")
    public func fuzzOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
        work.target.survives(Array(UnsafeBufferPointer(start: bytes, count: count)), in: work.folder)
        return 0
    }
#else
    @main
    struct FuzzDriver {
        static func main() throws {
            let arguments = Array(CommandLine.arguments.dropFirst())
            if arguments == ["list"] {
                for target in FuzzTarget.allCases { print(target.rawValue) }
                return
            }
            let names = arguments.first == "seeds" ? arguments.dropFirst() : arguments[...]
            guard let name = names.first, let target = FuzzTarget(rawValue: name), names.count > 1 else {
                FileHandle.standardError.write(
                    Data("usage: duality-fuzz list | seeds TARGET FOLDER | TARGET FILE ...\n".utf8))
                exit(2)
            }
            if arguments.first == "seeds" {
                try FuzzSeeds.write(for: target, to: names.dropFirst().joined(separator: " "))
                return
            }
            let folder = try FuzzFolder()
            for path in names.dropFirst() {
                target.survives([UInt8](try Data(contentsOf: URL(fileURLWithPath: path))), in: folder)
            }
            print("\(names.count - 1) inputs of \(target.rawValue): no fault")
        }
    }
#endif
