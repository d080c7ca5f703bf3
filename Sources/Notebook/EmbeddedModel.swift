//  The model that scripts look into: the one the repository holds, or the one DUALITY_MODEL names.

import DualityCore
import DualityInference
import DualityReference

/// A model with its tokenizer, ready to be read.
public struct EmbeddedModel<Scalar: RealNumber>: Sendable {
    public let directory: String
    public let checkpoint: Checkpoint
    public let model: HybridModel<Scalar>
    public let tokenizer: Tokenizer

    /// Opens the model in a number format. Where there is none the script ends with the reason and
    /// exit status 2.
    public static func open(as scalar: Scalar.Type = Scalar.self) -> EmbeddedModel {
        do {
            let directory = try ModelLocation.find()
            let checkpoint = try Checkpoint(directory: directory)
            return EmbeddedModel(
                directory: directory, checkpoint: checkpoint,
                model: try HybridModel(checkpoint, configuration: checkpoint.configuration),
                tokenizer: try Tokenizer(directory: directory))
        } catch {
            fail("\(error)", status: 2)
        }
    }
}
