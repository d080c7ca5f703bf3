//  The front door: one import for everything that a dependent sees.
//
//      import Duality
//
//      let session = try LanguageModelSession()                    // the model that `duality generate` would run
//      print(try await session.respond(to: "Who is Pip?"))
//
//      let report = try verify(outputs: ["y": y], inputs: operands)  // what `duality verify` would say
//
//  The command uses this door too: which engine, which number format, whether the memory suffices
//  and where the model lies is decided here and nowhere else.

@_exported import DualityCore
@_exported import DualityInference
@_exported import DualityNumerics
@_exported import DualityQuant
@_exported import DualityReference
@_exported import DualityVerify
