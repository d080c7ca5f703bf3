//  The sampling defaults a checkpoint brings along: generation_config.json.
