use compute_fuzz::{TARGETS, corpus, find, seeds};

#[test]
fn every_committed_input_keeps_every_promise() {
    for target in TARGETS {
        for input in corpus::load(target.name).unwrap() {
            assert!(input.len() <= corpus::MAX_INPUT_BYTES);
            (target.run)(&input);
        }
    }
}

// What one decoder was sent may reach another one.
#[test]
fn every_seed_keeps_every_promise_of_every_target() {
    for source in TARGETS {
        let inputs = seeds::of(source.name);
        assert!(inputs.len() > 1, "{} has no seeds", source.name);
        // Signatures are dear without optimisation; the others read everything.
        for target in TARGETS
            .iter()
            .filter(|it| !it.signs || it.name == source.name)
        {
            for input in &inputs {
                (target.run)(input);
            }
        }
    }
}

#[test]
fn names_are_unique_and_every_corpus_has_a_target() {
    for target in TARGETS {
        let same = TARGETS.iter().filter(|it| it.name == target.name).count();
        assert_eq!(same, 1, "{}", target.name);
        assert!(find(target.name).is_some());
    }
    let folder = corpus::file("x").parent().unwrap().to_path_buf();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(find(name).is_some(), "{} has no target", path.display());
    }
}
