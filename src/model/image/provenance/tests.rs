//! Each mark by itself; what families make of them is in `family`'s tests.
use super::*;

const ID: &str = "0c8e1f7a-3d52-4a7e-9f64-5a2b8d1c6e90";
const RUN_ID: &str = "20261120-233145-abcdef";

fn with(pairs: &[(&str, &str)]) -> Image {
    let mut image = Image::of_test(ID, "web-1", "web");
    for (key, value) in pairs {
        image.properties.insert((*key).into(), (*value).into());
    }
    image
}

fn legacy(pairs: &[(&str, &str)]) -> Image {
    let mut image = with(pairs);
    image.properties.remove(IMAGE_ID);
    image
}

fn staged(name: &str, pairs: &[(&str, &str)]) -> Image {
    let own = [(RUN, RUN_ID), (STATE, "building"), (IMAGE_ID, "")];
    Image { state: State::Staged, name: name.into(), ..with(&[&own, pairs].concat()) }
}

#[test]
fn an_image_is_ours_by_its_own_id() {
    assert!(with(&[]).is_ours());
    // As other tools write the same ID.
    assert!(
        with(&[(IMAGE_ID, &ID.to_uppercase())]).is_ours()
            && with(&[(IMAGE_ID, &ID.replace('-', ""))]).is_ours()
    );
    let other = "0c8e1f7a-3d52-4a7e-9f64-5a2b8d1c6e91";
    for id in [other, "web", &format!("{ID} "), &format!("{ID},{other}")] {
        assert!(
            matches!(
                with(&[(IMAGE_ID, id)]).provenance(),
                Provenance::Foreign(why) if why.contains(id)
            ),
            "{id}"
        );
    }
    assert_eq!(
        with(&[(RUN, "")]).provenance(),
        Provenance::Foreign("no run of the factory made it".into())
    );
}

#[test]
fn marks_of_a_snapshot_outweigh_a_proof() {
    for (key, value) in [
        ("image_type", "snapshot"),
        ("image_type", "backup"),
        ("instance_uuid", "s"),
        ("base_image_ref", ""),
    ] {
        for image in [with(&[(key, value)]), legacy(&[(key, value)])] {
            assert!(
                matches!(image.provenance(), Provenance::Foreign(why) if why.contains("snapshot")),
                "{key}"
            );
        }
    }
    // What Glance, or a tool of the cloud's, may write on any image.
    assert!(
        with(&[("image_type", "image"), ("owner_specified.openstack.md5", ""), ("user_id", "u")])
            .is_ours()
    );
}

#[test]
fn without_a_proof_nothing_may_speak_against_it() {
    assert_eq!(legacy(&[]).provenance(), Provenance::Legacy);
    assert!(legacy(&[]).counts() && !legacy(&[]).is_ours());
    let strange = [
        "boot_roles",
        "owner_user_name",
        "owner_specified.openstack.object",
        "image_location",
        "user_id",
        "signature_verified",
    ];
    for image in strange.map(|key| legacy(&[(key, "")])).into_iter().chain([
        legacy(&[(STATE, "building")]),
        legacy(&[(STATE, "")]),
        Image { family: String::new(), ..legacy(&[]) },
        Image { name: format!("{RUN_ID}-staged"), ..legacy(&[]) },
        Image { name: format!("{RUN_ID}-snapshot"), ..legacy(&[]) },
    ]) {
        assert!(
            matches!(image.provenance(), Provenance::Foreign(_)) && !image.counts(),
            "{image:?}"
        );
    }
    assert!(
        Image { name: "web-staged".into(), ..legacy(&[]) }.counts(),
        "a name of a bundle's own"
    );
}

/// A snapshot of a smoke machine, or of a builder, has all that the staged image below it has, but
/// for its name.
#[test]
fn a_staged_image_has_a_name_of_its_run() {
    for end in [STAGED, STAGED_SOURCE, SNAPSHOT] {
        let image = staged(
            &format!("{RUN_ID}{end}"),
            &[("image_type", "snapshot"), ("instance_uuid", "builder")],
        );
        assert!(
            image.is_staged_by(RUN_ID) && !image.is_staged_by("another") && !image.counts(),
            "{end}"
        );
    }
    assert!(
        staged("any", &[(IMAGE_ID, ID)]).is_staged_by(RUN_ID),
        "where IDs are known at birth, the ID will do"
    );
    for name in [
        "backup",
        &format!("factory-{RUN_ID}-smoke-a"),
        &format!("{RUN_ID}-staged-backup"),
        &format!("my-{RUN_ID}-staged"),
        "-staged",
        "",
    ] {
        let image = staged(name, &[]);
        assert!(
            !image.is_staged_by(RUN_ID) && matches!(image.provenance(), Provenance::Foreign(_)),
            "{name}"
        );
    }
    let name = format!("{RUN_ID}-staged");
    let copied = staged(&name, &[(IMAGE_ID, "another")]);
    assert!(!copied.is_staged_by(RUN_ID) && !copied.is_ours(), "a copy under the very name");
    let alien = Image { stranger: Some("another's".into()), ..staged(&name, &[]) };
    assert!(!alien.is_staged_by(RUN_ID));
    assert!(
        !staged(&name, &[(STATE, "active")]).is_staged_by(RUN_ID),
        "published, and not in Glance's state `active` for a while"
    );
    assert!(!staged("-staged", &[(RUN, "")]).is_staged_by(""));
}

#[test]
fn the_tag_goes_with_what_a_family_may_mean() {
    let mut image = with(&[]);
    image.tags = vec!["b".into()];
    image.prove(jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(image.tags, ["b", "factory-published"]);
    let stand = |image: &mut Image, state, hidden| {
        image.stand(&crate::model::image::Lifecycle {
            state,
            hidden,
            hidden_at: None,
            held_at: None,
        })
    };
    for (state, hidden, tags) in [
        (State::Deprecated, false, &["b"][..]),
        (State::Active, true, &["b"]),
        (State::Active, false, &["b", "factory-published"]),
    ] {
        stand(&mut image, state, hidden);
        assert_eq!(image.tags, tags);
    }
}
