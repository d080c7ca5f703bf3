//  An answer on its way.

/// The number of a request of a serving engine.
package struct ServingID: Hashable, Sendable {
    package let number: UInt64
}

/// The events of one request. Who lets go of the stream before its end, or whose task is cancelled,
/// cancels the request.
package struct ServingAnswer: Sendable {
    package let id: ServingID
    package let events: AsyncStream<ServingEvent>
}
