//  The page at `/`.

/// The page for a person with a browser; it needs nothing from elsewhere.
enum ChatPage {
    static let html = "<!doctype html><title>duality</title>"
}
