//  What passes between the callers' tasks and the loop's thread.

import Dispatch
import DualityCore
import Synchronization

/// Commands to the loop, and what the loop lets others know.
final class ServingMailbox: Sendable {
    enum Command: Sendable {
        case submit(Submission)
        case cancel(ServingID)
        /// - Parameter tokens: of the answer, those that count; nil for all.
        case finish(ServingID, choice: Int, tokens: Int?)
        case pause(ServingID, Bool)
    }

    struct State {
        var commands: [Command] = []
        var isDraining = false
        var endsAll = false
        var hasEnded = false
        var nextNumber: UInt64 = 0
        var drainers: [CheckedContinuation<Void, Never>] = []
        var statistics = ServingStatistics()
        /// Sequences that the statistics do not have yet, and of these those that the loop took.
        var unseen = 0
        var seen = 0
        /// When a place in the queue will be free, in seconds.
        var predictedWait = 1.0
        fileprivate var isAsleep = false
    }

    private let state = Mutex(State())
    private let bell = DispatchSemaphore(value: 0)

    func withState<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
        state.withLock { body(&$0) }
    }

    /// Changes the state and wakes the loop.
    func send<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
        let (result, wakes) = state.withLock { state in
            let result = body(&state)
            defer { state.isAsleep = false }
            return (result, state.isAsleep)
        }
        if wakes { bell.signal() }
        return result
    }

    /// Takes the commands; where there is nothing else to do, waits for news.
    ///
    /// - Parameter knowsOfDraining: whether that it drains is no news.
    func receive(waits: Bool, knowsOfDraining: Bool) -> (commands: [Command], isDraining: Bool, endsAll: Bool) {
        while true {
            let received = state.withLock { state -> (commands: [Command], isDraining: Bool, endsAll: Bool)? in
                if state.commands.isEmpty, waits, state.isDraining == knowsOfDraining, !state.endsAll {
                    state.isAsleep = true
                    return nil
                }
                defer {
                    state.commands = []
                    state.seen = state.unseen
                }
                return (state.commands, state.isDraining, state.endsAll)
            }
            if let received { return received }
            bell.wait()
        }
    }
}
