// swift-tools-version: 6.1
import PackageDescription

// Scripts to be read, one executable each. They are no products: who depends on Duality does not
// see them.
let notebooks = [
    "01-a-recurrence-is-a-matrix", "02-low-rank", "03-chunks", "04-attention-and-ssm", "05-convolution",
    "06-what-a-state-remembers", "07-where-rounding-goes", "08-int8", "09-a-hybrid-forward-pass",
    "10-composing-states", "11-which-layer-remembers-what",
]

// What the trait `Server` fetches.
let serverProducts = [
    ("HummingbirdCore", "hummingbird"), ("ServiceLifecycle", "swift-service-lifecycle"), ("NIOCore", "swift-nio"),
    ("NIOPosix", "swift-nio"), ("HTTPTypes", "swift-http-types"), ("Logging", "swift-log"),
]

// Open MPI where both libraries are installed, by Debian's alternative; DUALITY_MPI_PC=mpich names
// another file of pkg-config.
let mpi = Context.environment["DUALITY_MPI_PC"] ?? "mpi"

let package = Package(
    name: "Duality",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "Duality", targets: ["Duality"]),
        .library(name: "DualityCore", targets: ["DualityCore"]),
        .library(name: "DualityReference", targets: ["DualityReference"]),
        .library(name: "DualityQuant", targets: ["DualityQuant", "DualityKernels"]),
        .library(name: "DualityInference", targets: ["DualityInference"]),
        .library(name: "DualityVerify", targets: ["DualityVerify", "DualityNumerics"]),
        .library(name: "duality_ssd", type: .dynamic, targets: ["DualityCInterface"]),
        .executable(name: "duality", targets: ["DualityCommand"]),
    ],
    traits: [
        .trait(name: "Analysis", description: "FFT and singular values in DualityAnalysis; needs FFTW 3 and OpenBLAS."),
        .trait(
            name: "MPI",
            description: "A model on several hosts, and campaigns over them; needs MPI (Open MPI or MPICH)."),
        .trait(
            name: "Server", description: "`duality serve`: the HTTP server; needs Swift 6.2 and fetches Hummingbird."),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-numerics", from: "1.1.1"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.4.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        .target(
            name: "DualityCore",
            dependencies: [.product(name: "RealModule", package: "swift-numerics")],
            path: "Sources/Core"),
        .target(name: "DualityKernels", path: "Sources/Kernels", exclude: ["README.md", "Kernels.inc"]),
        .target(name: "DualityReference", dependencies: ["DualityCore"], path: "Sources/Reference"),
        .target(
            name: "DualityNumerics", dependencies: ["DualityCore", "DualityReference"], path: "Sources/Numerics"),
        .target(name: "DualityQuant", dependencies: ["DualityCore", "DualityKernels"], path: "Sources/Quant"),
        .target(
            name: "DualityInference", dependencies: ["DualityCore", "DualityReference", "DualityQuant"],
            path: "Sources/Inference"),
        .target(
            name: "DualityAnalysis",
            dependencies: [
                "DualityCore", "DualityReference",
                .target(name: "CFFTW", condition: .when(traits: ["Analysis"])),
                .target(name: "CLAPACK", condition: .when(traits: ["Analysis"])),
            ],
            path: "Sources/Analysis"),
        .systemLibrary(
            name: "CFFTW", path: "Sources/CFFTW", pkgConfig: "fftw3",
            providers: [.apt(["libfftw3-dev"]), .brew(["fftw"])]),
        .systemLibrary(
            name: "CLAPACK", path: "Sources/CLAPACK", pkgConfig: "openblas",
            providers: [.apt(["libopenblas-dev"]), .brew(["openblas"])]),
        .target(
            name: "DualityVerify", dependencies: ["DualityCore", "DualityReference", "DualityNumerics"],
            path: "Sources/Verify"),
        .target(
            name: "Duality",
            dependencies: [
                "DualityCore", "DualityReference", "DualityNumerics", "DualityVerify", "DualityQuant",
                "DualityInference",
            ],
            path: "Sources/Duality"),
        .systemLibrary(
            name: "CMPI", path: "Sources/CMPI", pkgConfig: mpi,
            providers: [.apt(["libopenmpi-dev"]), .brew(["open-mpi"])]),
        .target(
            name: "DualityParallel",
            dependencies: ["DualityCore", "DualityQuant", .target(name: "CMPI", condition: .when(traits: ["MPI"]))],
            path: "Sources/Parallel"),
        .target(name: "DualityConversion", dependencies: ["DualityCore"], path: "Sources/Conversion"),
        .target(
            name: "DualityMeasure", dependencies: ["DualityCore", "DualityKernels", "DualityQuant"],
            path: "Sources/Measure"),
        .target(
            name: "DualityEvaluation",
            dependencies: [
                "DualityCore", "DualityReference", "DualityQuant", "DualityInference", "DualityVerify", "Duality",
                .product(name: "Yams", package: "Yams"),
            ],
            path: "Sources/Evaluation"),
        .target(
            name: "DualityServer",
            dependencies: [
                "DualityCore", "DualityQuant", "DualityInference",
            ] + serverProducts.map { .product(name: $0, package: $1, condition: .when(traits: ["Server"])) },
            path: "Sources/Server"),
        .systemLibrary(name: "CDualitySSD", path: "Sources/CInterface/include"),
        .target(
            name: "DualityCInterface",
            dependencies: ["CDualitySSD", "DualityCore", "DualityReference", "DualityNumerics", "DualityVerify"],
            path: "Sources/CInterface", exclude: ["include"]),
        .executableTarget(
            name: "DualityCommand",
            dependencies: [
                "DualityCore", "DualityReference", "DualityInference", "DualityVerify", "DualityQuant",
                "DualityAnalysis", "DualityNumerics", "DualityConversion", "DualityMeasure", "Duality",
                "DualityEvaluation", "DualityServer", "DualityParallel",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Sources/CLI"),
        .target(
            name: "DualityNotebook", dependencies: ["DualityCore", "DualityReference", "DualityInference"],
            path: "Sources/Notebook"),
        .executableTarget(
            name: "weave", dependencies: ["DualityCore", "DualityNotebook"], path: "Notebooks-as-scripts/weave"),
        .target(name: "TestSupport", dependencies: ["DualityCore", "DualityReference"], path: "Tests/Support"),
        .target(
            name: "DualityFuzz",
            dependencies: [
                "CDualitySSD", "DualityCInterface", "DualityCore", "DualityInference", "DualityQuant",
                "DualityReference", "DualityServer", "DualityVerify", "TestSupport",
            ],
            path: "Tests/Fuzz/Targets"),
        .executableTarget(name: "duality-fuzz", dependencies: ["DualityFuzz"], path: "Tests/Fuzz/Driver"),
        .testTarget(name: "FuzzTests", dependencies: ["DualityCore", "DualityFuzz", "TestSupport"]),
        .testTarget(name: "CoreTests", dependencies: ["DualityCore", "TestSupport"]),
        .testTarget(name: "KernelsTests", dependencies: ["DualityCore", "DualityKernels", "TestSupport"]),
        .testTarget(name: "ReferenceTests", dependencies: ["DualityCore", "DualityReference", "TestSupport"]),
        .testTarget(
            name: "NumericsTests", dependencies: ["DualityCore", "DualityReference", "DualityNumerics", "TestSupport"]),
        .testTarget(name: "HouseTests", dependencies: ["TestSupport"]),
        .testTarget(name: "DualityTests", dependencies: ["Duality", "TestSupport"]),
        .testTarget(name: "ConversionTests", dependencies: ["DualityCore", "DualityConversion", "TestSupport"]),
        .testTarget(
            name: "EvaluationTests",
            dependencies: [
                "DualityCore", "DualityInference", "DualityQuant", "DualityEvaluation", "Duality", "TestSupport",
            ]),
        .testTarget(name: "MeasureTests", dependencies: ["DualityCore", "DualityMeasure", "TestSupport"]),
        .testTarget(
            name: "InferenceTests",
            dependencies: [
                "DualityCore", "DualityReference", "DualityInference", "DualityQuant", "DualityMeasure", "TestSupport",
            ]),
        .testTarget(
            name: "QuantTests",
            dependencies: [
                "DualityCore", "DualityReference", "DualityKernels", "DualityQuant", "DualityMeasure", "TestSupport",
            ]),
        .testTarget(
            name: "VerifyTests",
            dependencies: ["DualityCore", "DualityReference", "DualityNumerics", "DualityVerify", "TestSupport"]),
        .testTarget(
            name: "AnalysisTests", dependencies: ["DualityCore", "DualityReference", "DualityAnalysis", "TestSupport"]),
        .testTarget(
            name: "ServerTests", dependencies: ["DualityCore", "DualityInference", "DualityServer", "TestSupport"]),
        .testTarget(name: "CLITests", dependencies: ["DualityCore", "TestSupport", "DualityCommand"]),
        .testTarget(
            name: "NotebookTests",
            dependencies: ["DualityCore", "DualityNotebook", "TestSupport", "weave"]
                + notebooks.map { .target(name: $0) }),
    ]
        + notebooks.map {
            .executableTarget(
                name: $0,
                dependencies: [
                    "DualityCore", "DualityReference", "DualityInference", "DualityVerify", "DualityAnalysis",
                    "DualityQuant", "DualityNumerics", "DualityMeasure", "DualityNotebook",
                ],
                path: "Notebooks-as-scripts/\($0)")
        }
)
