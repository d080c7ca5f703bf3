//  What the page at `/` does: sends the conversation, reads the stream, and says what an answer
//  cost.

enum ChatPageScript {
    static let text = #"""
        "use strict";
        const $ = id => document.getElementById(id);
        const numbers = ["temperature", "top_p", "top_k", "max_tokens", "seed"];
        const kept = [...numbers, "system", "thinking"];
        let messages = [], running = null;

        for (const id of kept) {
          $(id).value = localStorage.getItem("duality." + id) ?? "";
          $(id).addEventListener("change", () => localStorage.setItem("duality." + id, $(id).value));
        }
        const headers = () => ({ "Content-Type": "application/json", ...($("key").value ? { Authorization: "Bearer " + $("key").value } : {}) });

        async function about() {
          try {
            const answer = await fetch("v1/models", { headers: headers() });
            const body = await answer.json();
            if (!answer.ok) throw new Error(body.error.message);
            $("model").textContent = body.data[0].id;
            document.title = body.data[0].id;
            $("state").textContent = body.data[0].max_model_len.toLocaleString() + " tokens";
          } catch (error) {
            $("state").textContent = error.message;
          }
        }

        function add(role) {
          document.querySelector(".empty")?.remove();
          const turn = document.createElement("div");
          turn.className = "turn " + role;
          const said = turn.appendChild(document.createElement("div"));
          said.className = "said";
          $("log").append(turn);
          return { turn, said };
        }

        function follow(change) {
          const log = $("log");
          const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
          change();
          if (isAtEnd) log.scrollTop = log.scrollHeight;
        }

        function clear() {
          running?.abort();
          messages = [];
          $("log").replaceChildren();
          const hint = document.createElement("p");
          hint.className = "empty";
          hint.textContent = "Ask the model something.";
          $("log").append(hint);
          $("text").focus();
        }

        function request() {
          const system = $("system").value.trim();
          const body = {
            messages: [...(system ? [{ role: "system", content: system }] : []), ...messages],
            stream: true, stream_options: { include_usage: true },
          };
          for (const id of numbers) if ($(id).value !== "") body[id] = Number($(id).value);
          if ($("thinking").value) body.chat_template_kwargs = { enable_thinking: $("thinking").value === "on" };
          return body;
        }

        async function* events(response) {
          const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
          let rest = "";
          for (;;) {
            const { value, done } = await reader.read();
            if (done) return;
            rest += value;
            const blocks = rest.split("\n\n");
            rest = blocks.pop();
            for (const block of blocks) {
              if (!block.startsWith("data: ")) continue;
              if (block === "data: [DONE]") return;
              yield JSON.parse(block.slice(6));
            }
          }
        }

        function cost(usage, first, end, start) {
          const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
          const share = usage.prompt_tokens ? Math.round(100 * cached / usage.prompt_tokens) : 0;
          const rate = usage.completion_tokens > 1 ? (usage.completion_tokens - 1) / Math.max((end - first) / 1000, 1e-3) : 0;
          return `${usage.prompt_tokens} tokens read, ${cached} of them from the cache (${share} %) · first token after ` +
            `${((first - start) / 1000).toFixed(2)} s · ${usage.completion_tokens} tokens` + (rate ? `, ${rate.toFixed(1)} per second` : "");
        }

        async function ask(text) {
          messages.push({ role: "user", content: text });
          follow(() => { add("user").said.textContent = text; });
          const { turn, said } = add("assistant");
          said.classList.add("waits");
          $("log").scrollTop = $("log").scrollHeight;
          running = new AbortController();
          $("send").textContent = "Stop";
          const answer = { role: "assistant", content: "" };
          let thought = null, usage = null, first = 0;
          const start = performance.now();
          try {
            const response = await fetch("v1/chat/completions", { method: "POST", headers: headers(), body: JSON.stringify(request()), signal: running.signal });
            if (!response.ok) throw new Error((await response.json()).error.message);
            for await (const event of events(response)) {
              if (event.error) throw new Error(event.error.message);
              usage = event.usage ?? usage;
              const delta = event.choices[0]?.delta;
              if (!delta) continue;
              first ||= performance.now();
              follow(() => {
                if (delta.reasoning_content) {
                  if (!thought) {
                    thought = document.createElement("details");
                    thought.append(Object.assign(document.createElement("summary"), { textContent: "Thought" }), "");
                    turn.prepend(thought);
                  }
                  thought.lastChild.data += delta.reasoning_content;
                }
                if (delta.content) {
                  answer.content += delta.content;
                  said.textContent = answer.content;
                }
              });
            }
          } catch (error) {
            if (error.name !== "AbortError") follow(() => {
              const line = turn.appendChild(document.createElement("div"));
              line.className = "wrong";
              line.textContent = error.message;
            });
          }
          const end = performance.now();
          said.classList.remove("waits");
          if (answer.content || first) messages.push(answer); else messages.pop();
          if (usage) follow(() => {
            const line = turn.appendChild(document.createElement("div"));
            line.className = "cost";
            line.textContent = cost(usage, first || end, end, start);
          });
          running = null;
          $("send").textContent = "Send";
          $("text").focus();
        }

        function grow() {
          $("text").style.height = "auto";
          $("text").style.height = $("text").scrollHeight + 2 + "px";
        }

        $("ask").addEventListener("submit", event => {
          event.preventDefault();
          if (running) { running.abort(); return; }
          const text = $("text").value.trim();
          if (!text) return;
          $("text").value = "";
          grow();
          ask(text);
        });
        $("text").addEventListener("input", grow);
        $("text").addEventListener("keydown", event => {
          if (event.key === "Enter" && !event.shiftKey && !event.isComposing && matchMedia("(hover: hover)").matches) {
            event.preventDefault();
            if (!running) $("ask").requestSubmit();
          }
        });
        $("settings").addEventListener("submit", event => event.preventDefault());
        $("open").addEventListener("click", () => {
          $("settings").hidden = !$("settings").hidden;
          $("open").setAttribute("aria-expanded", String(!$("settings").hidden));
        });
        $("new").addEventListener("click", clear);
        $("key").addEventListener("change", about);
        clear();
        about();
        """#
}
