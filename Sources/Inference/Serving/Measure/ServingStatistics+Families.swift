//  The statistics under their published names: vLLM's where it has one, so that its dashboards
//  work.

extension ServingStatistics {
    /// Every metric, in a fixed order.
    package var families: [MetricFamily] { gauges + counters + ownCounters + histograms }

    private var gauges: [MetricFamily] {
        [
            .gauge("vllm:num_requests_running", "Sequences that are computed.", Double(running)),
            .gauge("vllm:num_requests_waiting", "Sequences that wait.", Double(waiting)),
            .gauge(
                "vllm:kv_cache_usage_perc", "Memory of live sequences as a part of the budget, 0 to 1.",
                Double(liveBytes) / Double(max(budgetBytes, 1))),
            .gauge("duality:state_snapshots", "Snapshots in the prefix tree.", Double(snapshots)),
            .gauge("duality:state_snapshot_bytes", "Bytes that only the prefix tree holds.", Double(snapshotBytes)),
            .labelled(
                .gauge, "duality:memory_bytes", "Bytes of memory.", by: "part",
                [
                    ("weights", .number(Double(weightBytes))), ("workspace", .number(Double(workspaceBytes))),
                    ("live", .number(Double(liveBytes))), ("tree", .number(Double(treeBytes))),
                ]
            ) { $0 },
        ]
    }

    private var counters: [MetricFamily] {
        [
            .counter("vllm:prompt_tokens_total", "Tokens of prompts, cached ones included.", promptTokens),
            .counter("vllm:generation_tokens_total", "Tokens drawn.", generationTokens),
            .counter("vllm:prefix_cache_queries_total", "Tokens looked up in the prefix tree.", prefixQueries),
            .counter("vllm:prefix_cache_hits_total", "Tokens found in the prefix tree.", prefixHits),
            .counter("vllm:num_preemptions_total", "Sequences that gave their memory away.", preemptions),
            .counter("vllm:spec_decode_num_drafts_total", "Guesses that were read.", drafts),
            .counter("vllm:spec_decode_num_draft_tokens_total", "Tokens of guesses.", draftTokens),
            .counter("vllm:spec_decode_num_accepted_tokens_total", "Tokens of guesses that came true.", acceptedTokens),
            .labelled(
                .counter, "vllm:request_success_total", "Sequences that ended.", by: "finished_reason",
                ["stop", "length", "abort"].map { ($0, .number(Double(ended[$0] ?? 0))) }
            ) { $0 },
        ]
    }

    private var ownCounters: [MetricFamily] {
        func byKind(_ name: String, _ help: String, _ values: [SnapshotKind: Int]) -> MetricFamily {
            .labelled(
                .counter, name, help, by: "kind", SnapshotKind.allCases.map { ($0, .number(Double(values[$0] ?? 0))) }
            ) { $0.rawValue }
        }
        return [
            .counter("duality:prefix_tokens_reused_total", "Tokens that a snapshot spared.", prefixHits),
            byKind("duality:snapshot_placed_total", "Snapshots placed.", placed),
            byKind("duality:snapshot_hits_total", "Snapshots used.", hits),
            byKind("duality:snapshot_evictions_total", "Snapshots evicted.", evictions),
            .labelled(
                .counter, "duality:prompt_tokens_read_total", "Why tokens of prompts had to be read.", by: "reason",
                ReadReason.allCases.map { ($0, .number(Double(tokensRead[$0] ?? 0))) }
            ) { $0.rawValue },
            .counter("duality:prefix_waits_total", "Requests that waited for another's prefix.", prefixWaits),
            .counter("duality:requests_cancelled_total", "Requests that were cancelled.", cancelled),
            .labelled(
                .counter, "duality:requests_rejected_total", "Requests that were not taken.", by: "code",
                rejected.sorted { $0.key < $1.key }.map { ($0.key, .number(Double($0.value))) }
            ) { $0 },
        ]
    }

    private var histograms: [MetricFamily] {
        [
            .histogram("vllm:time_to_first_token_seconds", "From arrival to the first token.", timeToFirstToken),
            .histogram("vllm:inter_token_latency_seconds", "Between two tokens.", interTokenLatency),
            .histogram(
                "vllm:request_time_per_output_token_seconds", "Between two tokens, the mean of a sequence.",
                timePerOutputToken),
            .histogram("vllm:e2e_request_latency_seconds", "From arrival to the end.", requestSeconds),
            .histogram("vllm:request_queue_time_seconds", "From arrival to admission.", queueSeconds),
            .histogram("vllm:request_prefill_time_seconds", "From admission to the first token.", promptSeconds),
            .histogram("vllm:request_decode_time_seconds", "From the first token to the end.", decodeSeconds),
            .histogram("vllm:request_inference_time_seconds", "From admission to the end.", inferenceSeconds),
            .histogram("vllm:request_prompt_tokens", "Tokens of a prompt.", requestPromptTokens),
            .histogram("vllm:request_generation_tokens", "Tokens of an answer.", requestGenerationTokens),
            .histogram(
                "vllm:request_max_num_generation_tokens", "Tokens of a request's longest answer.",
                requestMaxGenerationTokens),
            .histogram("vllm:request_params_n", "Answers asked for.", requestChoices),
            .histogram("vllm:request_params_max_tokens", "Limits asked for.", requestMaxTokens),
            .histogram("vllm:iteration_tokens_total", "Tokens of a step.", iterationTokens),
            .histogram("duality:snapshot_restore_seconds", "Copying a snapshot.", restoreSeconds),
            .labelled(
                .histogram, "duality:step_seconds", "Time of a step.", by: "kind",
                StepKind.allCases.map { ($0, .histogram(stepSeconds[$0] ?? .tokenSeconds)) }
            ) { $0.rawValue },
            .histogram("duality:step_rows", "Rows of a step.", stepRows),
        ]
    }
}
