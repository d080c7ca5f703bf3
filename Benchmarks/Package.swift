// swift-tools-version: 6.1
import PackageDescription

// Measurements are a package of their own: they never run with the tests, and nobody who depends on
// Duality builds them.
let package = Package(
    name: "Benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [.package(name: "Duality", path: "..")],
    targets: [
        .executableTarget(
            name: "forms",
            dependencies: [
                .product(name: "DualityCore", package: "Duality"),
                .product(name: "DualityReference", package: "Duality"),
                .product(name: "DualityVerify", package: "Duality"),
            ],
            path: "Sources/Forms"),
        .executableTarget(
            name: "retrieval",
            dependencies: [
                .product(name: "DualityCore", package: "Duality"),
                .product(name: "DualityReference", package: "Duality"),
                .product(name: "DualityInference", package: "Duality"),
                .product(name: "DualityQuant", package: "Duality"),
            ],
            path: "Sources/Retrieval"),
        .executableTarget(
            name: "generation",
            dependencies: [
                "Measure", .product(name: "DualityCore", package: "Duality"),
                .product(name: "DualityQuant", package: "Duality"),
            ],
            path: "Sources/Generation"),
        .executableTarget(
            name: "speculation",
            dependencies: [
                "Measure", .product(name: "DualityCore", package: "Duality"),
                .product(name: "DualityInference", package: "Duality"),
                .product(name: "DualityQuant", package: "Duality"),
            ],
            path: "Sources/Speculation"),
        .executableTarget(
            name: "context",
            dependencies: [
                "Measure", .product(name: "DualityCore", package: "Duality"),
                .product(name: "DualityQuant", package: "Duality"),
            ],
            path: "Sources/Context"),
        .executableTarget(
            name: "forkjoin", dependencies: ["Measure", .product(name: "DualityQuant", package: "Duality")],
            path: "Sources/ForkJoin"),
        // Their threads share raw memory by design.
        .target(
            name: "Measure", dependencies: [.product(name: "DualityQuant", package: "Duality")],
            path: "Sources/Measure", swiftSettings: [.swiftLanguageMode(.v5)]),
        .executableTarget(
            name: "kernels", dependencies: ["Measure", .product(name: "DualityQuant", package: "Duality")],
            path: "Sources/Kernels", swiftSettings: [.swiftLanguageMode(.v5)]),
        .executableTarget(
            name: "attention", dependencies: ["Measure", .product(name: "DualityQuant", package: "Duality")],
            path: "Sources/Attention", swiftSettings: [.swiftLanguageMode(.v5)]),
    ]
)
