//  Ctrl-C during a run that goes on later.

import Foundation

/// Ctrl-C, once: the run ends after the present answer. A second one ends the program.
final class Interruption: @unchecked Sendable {
    private let source: any DispatchSourceSignal
    private let lock = NSLock()
    private var flag = false

    init() {
        signal(SIGINT, SIG_IGN)
        source = DispatchSource.makeSignalSource(signal: SIGINT, queue: .global())
        source.setEventHandler { [weak self] in
            guard let self else { return }
            self.lock.withLock { self.flag = true }
            signal(SIGINT, SIG_DFL)
        }
        source.resume()
    }

    var happened: Bool { lock.withLock { flag } }
}
