//! Sequences on which the factory once differed from the reference, or would differ if a row of
//! issue 13 were open again.
use super::gate::Fate::*;
use super::steps::Step::{self, *};
use super::world::Where;
use super::{definitions, play};

const ALL: [Where; 3] = [Where::Memory, Where::TwoMachines, Where::Store];

#[track_caller]
fn holds(places: &[Where], steps: &[Step]) {
    let tree = tempfile::tempdir().unwrap();
    let definitions = definitions(tree.path());
    for place in places {
        if let Err(why) = play(*place, &definitions, steps) {
            panic!("{place:?}: {why}");
        }
    }
}

/// A build of a family from begin to end.
fn built(family: usize) -> [Step; 2] {
    [Begin { slot: 0, family }, Finish { slot: 0 }]
}

/// Row 102: the answer to the publication is lost, and the cloud answers nothing after it.
#[test]
fn a_publication_that_nobody_saw_is_called_unknown() {
    let to = [
        Begin { slot: 0, family: 0 },
        ToPublication { slot: 0 },
        Go { slot: 0, fate: LostFromSight },
        Finish { slot: 0 },
        Sweep,
    ];
    holds(&ALL, &to);
}

/// Published without an answer, made the older one by another run, and pruned before the end of its
/// own: that it was not done would be wrong.
#[test]
fn a_publication_that_was_pruned_before_anybody_saw_it_is_called_unknown() {
    let to = [
        Begin { slot: 1, family: 3 },
        ToPublication { slot: 1 },
        Begin { slot: 0, family: 3 },
        Go { slot: 1, fate: LostFromSight },
        Finish { slot: 0 },
        Prune { family: 3, keep: 1, now: false },
    ];
    holds(&ALL, &to);
}

/// Published without an answer, and deleted by a person before the run looked.
#[test]
fn a_publication_that_is_gone_before_anybody_saw_it_is_called_unknown() {
    let to = [
        Begin { slot: 0, family: 2 },
        ToPublication { slot: 0 },
        Go { slot: 0, fate: Lost },
        Given { family: 2 },
        Prune { family: 2, keep: 1, now: true },
        Finish { slot: 0 },
    ];
    holds(&ALL, &[&[Given { family: 0 }][..], &to].concat());
}

/// A machine that could not be deleted is one, whatever else of its run is gone.
#[test]
fn a_machine_that_is_left_needs_its_base() {
    let to = [
        Given { family: 0 },
        Begin { slot: 1, family: 1 },
        Go { slot: 1, fate: LostFromSight },
        Go { slot: 1, fate: Refused },
        Given { family: 0 },
        Serve { slot: 1, changes: 2 },
        Prune { family: 0, keep: 1, now: true },
    ];
    holds(&ALL, &to);
}

/// Who rolls back from a held image lets it go.
#[test]
fn a_rollback_lets_a_held_image_go() {
    let given = Given { family: 0 };
    let (undo, rollback) = (Undo { family: 0, nth: 0 }, Rollback { family: 0 });
    let builds = [built(0), built(0)];
    let to = [&[given, given, undo, rollback][..], builds.as_flattened()].concat();
    holds(&ALL, &to);
}

/// Row 103: what a run published before another, and pruned after it.
#[test]
fn a_run_does_not_prune_what_it_has_published() {
    let to = [
        Begin { slot: 0, family: 0 },
        Finish { slot: 0 },
        Begin { slot: 0, family: 1 },
        ToPublication { slot: 0 },
        Go { slot: 0, fate: Served },
        Begin { slot: 1, family: 1 },
        Finish { slot: 1 },
        Finish { slot: 0 },
    ];
    holds(&ALL, &to);
}

/// Row 113: two machines build one definition within a minute.
#[test]
fn no_two_published_images_have_one_name() {
    let to = [
        Begin { slot: 0, family: 0 },
        Begin { slot: 1, family: 0 },
        Finish { slot: 0 },
        Finish { slot: 1 },
    ];
    holds(&ALL, &to);
}

/// Row 130: the next build hid it again, and the one after deleted it.
#[test]
fn what_a_person_brought_back_stays() {
    let [begin, finish] = built(0);
    let to = [
        begin,
        finish,
        begin,
        finish,
        begin,
        finish,
        Undo { family: 0, nth: 2 },
        begin,
        finish,
        Prune { family: 0, keep: 1, now: true },
        Deprecate { family: 0, nth: 2 },
        Prune { family: 0, keep: 1, now: true },
    ];
    holds(&ALL, &to);
}

/// Row 132: images that their own definition hides.
#[test]
fn what_a_bundle_hides_is_pruned_as_well() {
    let builds = [built(3), built(3), built(3)];
    holds(&ALL, builds.as_flattened());
}

/// Row 140: the process ends while a prune deletes.
#[test]
fn half_of_an_image_is_swept() {
    let [begin, finish] = built(1);
    let to = [
        Begin { slot: 0, family: 0 },
        Finish { slot: 0 },
        begin,
        finish,
        begin,
        finish,
        begin,
        SpoilPrune { slot: 0, fate: TornAndKilled },
        finish,
        Sweep,
    ];
    holds(&ALL, &to);
}

/// Told twice to end while its machine boots: it is at its end before anybody sweeps.
#[test]
fn a_run_that_was_told_twice_to_end_is_swept() {
    let to = [
        Begin { slot: 1, family: 0 },
        Signal { slot: 1 },
        Go { slot: 1, fate: LostFromSight },
        Signal { slot: 1 },
        Begin { slot: 0, family: 0 },
        Sweep,
    ];
    holds(&ALL, &[&[Given { family: 0 }], &to[..]].concat());
}

/// Protected by a person while the run asks again for what it published without an answer.
#[test]
fn protection_outlives_a_publication_that_is_done_again() {
    let to = [
        Given { family: 0 },
        Begin { slot: 0, family: 1 },
        Begin { slot: 1, family: 1 },
        ToPublication { slot: 1 },
        Go { slot: 1, fate: Lost },
        Protect { family: 1, nth: 0, on: true },
        Finish { slot: 1 },
    ];
    holds(&ALL, &to);
}
