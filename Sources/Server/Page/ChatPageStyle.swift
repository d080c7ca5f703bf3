//  How the page at `/` looks: light and dark, on a desk and on a phone.

enum ChatPageStyle {
    static let text = """
        :root {
          --page: #fbfaf7; --text: #1d1c1a; --quiet: #6b6862; --line: #dedad1; --mine: #e8eef6; --accent: #1f5fa8; --wrong: #a8281f;
        }
        @media (prefers-color-scheme: dark) {
          :root { --page: #171614; --text: #eceae5; --quiet: #9d9990; --line: #37342f; --mine: #22303f; --accent: #7db3ee; --wrong: #f08a80; }
        }
        * { box-sizing: border-box; }
        html, body { height: 100%; margin: 0; }
        body {
          display: flex; flex-direction: column; background: var(--page); color: var(--text);
          font: 16px/1.5 system-ui, sans-serif; height: 100dvh;
        }
        header, #settings, #ask { padding: .6rem max(1rem, calc(50vw - 24rem)); }
        header { display: flex; gap: .6rem; align-items: baseline; border-bottom: 1px solid var(--line); }
        h1 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
        .grow { flex: 1; }
        #state, .cost { color: var(--quiet); font-size: .8rem; }
        button, input, select, textarea { font: inherit; color: inherit; }
        button { border: 1px solid var(--line); border-radius: .5rem; background: none; padding: .25rem .7rem; cursor: pointer; white-space: nowrap; }
        button:hover { border-color: var(--accent); }
        button[type=submit] { background: var(--accent); border-color: var(--accent); color: var(--page); }
        :focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
        input, select, textarea { width: 100%; border: 1px solid var(--line); border-radius: .5rem; background: none; padding: .35rem .6rem; }
        option { background: var(--page); }
        #settings { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .5rem 1rem; border-bottom: 1px solid var(--line); max-height: 45dvh; overflow-y: auto; }
        #settings[hidden] { display: none; }
        #settings label { font-size: .8rem; color: var(--quiet); }
        #settings .wide { grid-column: 1 / -1; }
        main { flex: 1; overflow-y: auto; padding: 1rem max(1rem, calc(50vw - 24rem)); }
        .turn { margin: 0 0 1.1rem; overflow-wrap: anywhere; }
        .turn > .said { white-space: pre-wrap; }
        .user { display: flex; justify-content: flex-end; }
        .user > .said { background: var(--mine); border-radius: .9rem; padding: .45rem .9rem; max-width: 85%; }
        .wrong { color: var(--wrong); }
        details { color: var(--quiet); margin-bottom: .4rem; white-space: pre-wrap; }
        summary { cursor: pointer; font-size: .85rem; }
        .waits::after { content: "▍"; animation: blink 1s steps(2) infinite; color: var(--accent); }
        @keyframes blink { to { opacity: 0; } }
        @media (prefers-reduced-motion: reduce) { .waits::after { animation: none; } }
        .empty { color: var(--quiet); text-align: center; margin-top: 20dvh; }
        #ask { display: flex; gap: .6rem; align-items: flex-end; border-top: 1px solid var(--line); padding-bottom: max(.6rem, env(safe-area-inset-bottom)); }
        #text { resize: none; max-height: 40dvh; }
        @media (max-width: 30rem) { #state { display: none; } header { padding-inline: .7rem; } main, #ask { padding-inline: .7rem; } }
        """
}
