// swift-tools-version: 6.1
import PackageDescription

let package = Package(
    name: "Duality",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "DualityCore", targets: ["DualityCore"]),
        .library(name: "DualityReference", targets: ["DualityReference"]),
        .library(name: "DualityInference", targets: ["DualityInference"]),
        .library(name: "DualityVerify", targets: ["DualityVerify"]),
        .executable(name: "duality", targets: ["duality"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-numerics", from: "1.1.1"),
    ],
    targets: [
        .target(
            name: "DualityCore",
            dependencies: [.product(name: "RealModule", package: "swift-numerics")],
            path: "Sources/Core"),
        .target(name: "DualityReference", dependencies: ["DualityCore"], path: "Sources/Reference"),
        .target(
            name: "DualityInference", dependencies: ["DualityCore", "DualityReference"], path: "Sources/Inference"),
        .target(name: "DualityVerify", dependencies: ["DualityCore", "DualityReference"], path: "Sources/Verify"),
        .executableTarget(
            name: "duality",
            dependencies: [
                "DualityCore", "DualityReference", "DualityInference", "DualityVerify",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/CLI"),
        .target(name: "TestSupport", dependencies: ["DualityCore"], path: "Tests/Support"),
        .testTarget(name: "CoreTests", dependencies: ["DualityCore", "TestSupport"]),
        .testTarget(name: "ReferenceTests", dependencies: ["DualityCore", "DualityReference", "TestSupport"]),
        .testTarget(
            name: "InferenceTests",
            dependencies: ["DualityCore", "DualityReference", "DualityInference", "TestSupport"]),
        .testTarget(
            name: "VerifyTests", dependencies: ["DualityCore", "DualityReference", "DualityVerify", "TestSupport"]),
        .testTarget(name: "CLITests", dependencies: ["DualityCore", "TestSupport", "duality"]),
    ]
)
