//! The contract of [`Artifacts`](crate::provider::Artifacts): publication, lifecycle, and proof of
//! origin.
use std::path::Path;

use super::{DEADLINE, Run};
use crate::model::facts::{BaseLookup, FactsQuery};
use crate::model::family;
use crate::model::image::{self, Image, Lifecycle, State, Visibility};
use crate::model::publication::suffixed;
use crate::provider::ledger::{Entry, Kind};
use crate::provider::{Provider, Publication};

/// Twice, for an answer may be lost; and with the proof that it is this factory's.
pub(super) async fn is_published(cloud: &dyn Provider, run: &Run, captured: &Image) -> Image {
    let publication = publication(run);
    let published =
        cloud.artifacts().publish(&run.cx, captured, &publication).await.expect("publish");
    assert_eq!(
        cloud.artifacts().publish(&run.cx, captured, &publication).await.expect("publish again"),
        published
    );
    assert_eq!(
        (&published.id, &published.checksum),
        (&captured.id, &captured.checksum),
        "publishing changed the image"
    );
    assert_eq!((&published.name, published.state), (&publication.name, State::Active));
    assert_eq!(published.properties.get(image::COMMIT).map(String::as_str), Some("1.10"));
    assert!(
        published.is_ours() && published.properties.get(image::IMAGE_ID) == Some(&published.id),
        "{published:?}"
    );
    assert!(
        published.published_at().is_some() && published.tags == ["contract", image::TAG],
        "{published:?}"
    );
    assert_eq!(
        cloud.artifacts().adopt(&run.cx, &published).await.expect("adopt one that has its proof"),
        published
    );
    assert!(cloud.artifacts().list().await.expect("images").contains(&published));
    published
}

/// By its ID, its name and its family.
pub(super) async fn is_found(cloud: &dyn Provider, run: &Run, published: &Image) {
    for base in [&published.id, &published.name, &published.family] {
        let wanted = FactsQuery {
            base: Some(base.clone()),
            image_name: published.name.clone(),
            ..FactsQuery::default()
        };
        let facts = cloud.facts(&wanted, &run.cx).await.expect("facts");
        assert_eq!(facts.base, BaseLookup::Found(Box::new(published.clone())));
        assert_eq!(facts.name_taken_by, std::slice::from_ref(&published.id));
    }
}

fn publication(run: &Run) -> Publication {
    let property = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Publication {
        name: format!("published-{}", run.id),
        chosen: false,
        family: format!("family-{}", run.id),
        properties: [
            property(image::RUN, &run.id),
            property(image::STATE, "active"),
            property(image::FAMILY, &format!("family-{}", run.id)),
            property(image::COMMIT, "1.10"),
        ]
        .into(),
        set_by: std::collections::BTreeMap::new(),
        tags: vec!["contract".into()],
        min_disk_gib: None,
        min_ram_mib: 64,
        visibility: Visibility::Private,
        members: Vec::new(),
        protected: false,
        hidden: false,
    }
}

/// Published, deprecated, hidden, active again, deleted.
pub(super) async fn afterlife(cloud: &dyn Provider, run: &Run, disk: &Path) {
    let staged = cloud
        .artifacts()
        .import(&run.cx.within(DEADLINE), &format!("{}-staged-source", run.id), disk)
        .await
        .expect("import");
    let deprecated =
        Lifecycle { state: State::Deprecated, hidden: false, hidden_at: None, held_at: None };
    assert!(
        cloud.artifacts().set_lifecycle(&run.cx, &staged, &deprecated).await.is_err(),
        "a staged image was given a standing"
    );
    assert!(
        cloud.artifacts().delete(&run.cx, &staged).await.is_err(),
        "a staged image was discarded"
    );
    let published =
        cloud.artifacts().publish(&run.cx, &staged, &publication(run)).await.expect("publish");
    let base = async |name: &str| {
        let wanted =
            FactsQuery { base: Some(name.to_owned()), base_only: true, ..FactsQuery::default() };
        cloud.facts(&wanted, &run.cx).await.expect("facts").base
    };
    let now = jiff::Timestamp::from_second(1_800_000_000).expect("a time");
    let mut seen = published.clone();
    for to in [
        deprecated,
        Lifecycle { state: State::Deprecated, hidden: true, hidden_at: Some(now), held_at: None },
    ] {
        seen = stands(cloud, run, &seen, &to).await;
        assert!(
            matches!(base(&published.family).await, BaseLookup::Missing { .. }),
            "a family means an image that is {to:?}"
        );
        assert!(
            matches!(base(&published.id).await, BaseLookup::Found(i) if i.standing() == to),
            "by its ID it is not found as {to:?}"
        );
    }
    let held = Lifecycle { held_at: Some(now), ..published.standing() };
    is_as_it_was_judged(cloud, run, (&published, &seen), &held).await;
    let seen = cloud.artifacts().set_lifecycle(&run.cx, &seen, &held).await.expect("hold it");
    assert_eq!(seen.standing(), held);
    let back = cloud
        .artifacts()
        .set_lifecycle(&run.cx, &seen, &published.standing())
        .await
        .expect("make it active again");
    assert_eq!(back, published, "it is not what it was");
    assert!(matches!(base(&published.family).await, BaseLookup::Found(i) if *i == published));
    for _ in 0..2 {
        cloud.artifacts().delete(&run.cx, &back).await.expect("discard, perhaps again");
        assert!(
            cloud.artifacts().list().await.expect("images").iter().all(|i| i.id != published.id)
        );
    }
    run.delete_all(cloud, &run.cx.ledger.entries()).await;
    run.assert_owns_nothing(cloud).await;
}

/// No two published images have one name: a name of the factory's gets the run's suffix, one that
/// was chosen is refused, and the image stays staged.
pub(super) async fn one_name(cloud: &dyn Provider, run: &Run, disk: &Path) {
    let import = async |role: &str| {
        let (cx, name) = (run.cx.within(DEADLINE), format!("{}{role}", run.id));
        cloud.artifacts().import(&cx, &name, disk).await.expect("import")
    };
    let (first, second) = (import(image::STAGED).await, import(image::STAGED_SOURCE).await);
    let wanted = publication(run);
    let first = cloud.artifacts().publish(&run.cx, &first, &wanted).await.expect("publish");
    let chosen = Publication { chosen: true, ..wanted.clone() };
    let refused = cloud.artifacts().publish(&run.cx, &second, &chosen).await;
    assert!(refused.is_err(), "two images were published as {}", first.name);
    let images = cloud.artifacts().list().await.expect("images");
    let staged = images.iter().find(|i| i.id == second.id).expect("the staged image");
    assert_eq!(staged.state, State::Staged, "it was refused, and published");
    let publish = async || cloud.artifacts().publish(&run.cx, &second, &wanted).await;
    let second = publish().await.expect("publish");
    assert_eq!(second.name, suffixed(&first.name, &run.id));
    assert_eq!(publish().await.expect("publish again"), second);
    for image in [&first, &second] {
        cloud.artifacts().delete(&run.cx, image).await.expect("discard");
    }
    run.delete_all(cloud, &run.cx.ledger.entries()).await;
    run.assert_owns_nothing(cloud).await;
}

/// What was judged by an older look is neither changed nor deleted.
async fn is_as_it_was_judged(
    cloud: &dyn Provider,
    run: &Run,
    (judged, now): (&Image, &Image),
    to: &Lifecycle,
) {
    let set = cloud.artifacts().set_lifecycle(&run.cx, judged, to).await;
    assert!(set.is_err(), "what somebody has made of it is overwritten: {set:?}");
    let deleted = cloud.artifacts().delete(&run.cx, judged).await;
    assert!(deleted.is_err(), "an image that stands otherwise by now was discarded");
    assert!(cloud.artifacts().list().await.expect("images").contains(now), "it was changed");
}

/// Set twice, and seen in lists as it is. Returns the image.
async fn stands(cloud: &dyn Provider, run: &Run, published: &Image, to: &Lifecycle) -> Image {
    let mut stood = published.clone();
    for _ in 0..2 {
        let seen = cloud
            .artifacts()
            .set_lifecycle(&run.cx, published, to)
            .await
            .expect("set the standing, perhaps again");
        assert_eq!(&seen.standing(), to);
        assert_eq!(
            (&seen.id, &seen.name, &seen.checksum),
            (&published.id, &published.name, &published.checksum)
        );
        assert_eq!(
            seen.tags,
            ["contract"],
            "other clients would take it for what its family means"
        );
        assert!(
            cloud.artifacts().list().await.expect("images").contains(&seen),
            "it is not listed as it is"
        );
        stood = seen;
    }
    stood
}

/// What a person made of an image by copying it, properties and all, stays what it is. `copy` makes
/// one and gives its ID; these IDs are returned, for the caller to delete.
pub async fn copies(
    cloud: &dyn Provider,
    dir: &Path,
    disk: &Path,
    copy: impl AsyncFn(&Image) -> String,
) -> [String; 2] {
    let run = Run::new(dir, "copies", None);
    let staged = cloud
        .artifacts()
        .import(&run.cx.within(DEADLINE), &format!("{}-staged", run.id), disk)
        .await
        .expect("import");
    let of_staged = copy(&staged).await;
    is_let_alone(cloud, &run, &of_staged).await;
    assert!(
        cloud
            .resources()
            .list(&run.id)
            .await
            .expect("owned")
            .iter()
            .any(|e| e.id.as_ref() == Some(&staged.id)),
        "its own image is not found"
    );
    let stolen = Image { id: of_staged.clone(), ..staged.clone() };
    assert!(
        cloud.artifacts().publish(&run.cx, &stolen, &publication(&run)).await.is_err(),
        "a copy of a staged image was published"
    );

    let published =
        cloud.artifacts().publish(&run.cx, &staged, &publication(&run)).await.expect("publish");
    let of_published = copy(&published).await;
    for id in [&of_staged, &of_published] {
        is_let_alone(cloud, &run, id).await;
    }
    counts_alone(cloud, &run, &published).await;
    run.delete_all(cloud, &run.cx.ledger.entries()).await;
    for id in [&of_staged, &of_published] {
        is_let_alone(cloud, &run, id).await;
    }
    run.assert_owns_nothing(cloud).await;
    [of_staged, of_published]
}

/// Of its family no copy is current, pruned, or meant when the image is gone. Deletes it.
async fn counts_alone(cloud: &dyn Provider, run: &Run, published: &Image) {
    let images = cloud.artifacts().list().await.expect("images");
    assert_eq!(family::current(&images, &published.family), Some(published), "the copy is current");
    assert_eq!(
        family::before(&images, &published.family),
        None,
        "the copy would be current after a rollback"
    );
    let policy = family::Policy { keep: 1, at_once: true };
    assert_eq!(
        family::prune(&images, &published.family, policy, &Default::default()).len(),
        1,
        "the copy is pruned, or counts"
    );
    let wanted = FactsQuery { base: Some(published.family.clone()), ..FactsQuery::default() };
    let base = || async {
        cloud
            .facts(&FactsQuery { base_only: true, ..wanted.clone() }, &run.cx)
            .await
            .expect("facts")
            .base
    };
    assert_eq!(base().await, BaseLookup::Found(Box::new(published.clone())));
    cloud.artifacts().delete(&run.cx, published).await.expect("discard");
    let meant = base().await;
    assert!(
        !matches!(meant, BaseLookup::Found(_)),
        "with the image gone, its family means the copy: {meant:?}"
    );
}

/// The image is foreign, and whatever is tried leaves it as it is.
async fn is_let_alone(cloud: &dyn Provider, run: &Run, id: &str) {
    let seen = async || {
        let images = cloud.artifacts().list().await.expect("images");
        images.into_iter().find(|i| i.id == id).unwrap_or_else(|| panic!("copy {id} is not there"))
    };
    let before = seen().await;
    assert!(matches!(before.provenance(), image::Provenance::Foreign(_)), "{before:?}");
    let hidden =
        Lifecycle { state: State::Deprecated, hidden: true, hidden_at: None, held_at: None };
    assert!(
        cloud.artifacts().set_lifecycle(&run.cx, &before, &hidden).await.is_err(),
        "a copy was hidden"
    );
    assert!(cloud.artifacts().delete(&run.cx, &before).await.is_err(), "a copy was discarded");
    assert!(cloud.artifacts().adopt(&run.cx, &before).await.is_err(), "a copy was adopted");
    assert!(
        !cloud
            .resources()
            .list(&run.id)
            .await
            .expect("owned")
            .iter()
            .any(|e| e.id.as_deref() == Some(id)),
        "a copy is a run's"
    );
    let entry = Entry {
        seq: 1,
        kind: Kind::Image,
        name: before.name.clone(),
        id: Some(id.to_owned()),
        unanswered: None,
    };
    for entry in [entry.clone(), Entry { id: None, ..entry }] {
        // By name the run's own is found, where that is the same; so what is asked for is
        // another's.
        let other = format!("{}-other", run.id);
        let _ = cloud.resources().delete(&other, &entry).await;
        if entry.id.is_some() {
            let _ = cloud.resources().delete(&run.id, &entry).await;
        }
    }
    assert_eq!(seen().await, before, "a copy was changed");
}
