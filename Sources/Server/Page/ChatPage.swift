//  The page at `/`: a conversation with the model in a browser.
//
//  One document that needs nothing from elsewhere: no scripts, fonts or pictures of other servers.

/// The page for a person with a browser.
package enum ChatPage {
    /// The whole document.
    package static let html = """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>Duality</title>
        <link rel="icon" href="data:,">
        <style>
        \(ChatPageStyle.text)
        </style>
        </head>
        <body>
        <header>
        <h1 id="model">Duality</h1>
        <span id="state" role="status"></span>
        <span class="grow"></span>
        <button id="new" type="button">New chat</button>
        <button id="open" type="button" aria-expanded="false" aria-controls="settings">Settings</button>
        </header>
        <form id="settings" hidden>
        <label class="wide">System message<textarea id="system" rows="2"></textarea></label>
        <label>Temperature<input id="temperature" type="number" min="0" max="5" step="0.1" placeholder="model's"></label>
        <label>Top-p<input id="top_p" type="number" min="0.01" max="1" step="0.01" placeholder="model's"></label>
        <label>Top-k<input id="top_k" type="number" min="0" step="1" placeholder="model's"></label>
        <label>Tokens at most<input id="max_tokens" type="number" min="1" step="1" placeholder="no limit"></label>
        <label>Seed<input id="seed" type="number" step="1" placeholder="random"></label>
        <label>Thinking<select id="thinking"><option value="">model's</option><option value="on">on</option><option value="off">off</option></select></label>
        <label class="wide">Key<input id="key" type="password" autocomplete="off" placeholder="if the server wants one"></label>
        </form>
        <main id="log" aria-live="polite"></main>
        <form id="ask">
        <textarea id="text" rows="1" placeholder="Write a message" aria-label="Message"></textarea>
        <button id="send" type="submit">Send</button>
        </form>
        <script>
        \(ChatPageScript.text)
        </script>
        </body>
        </html>
        """
}
