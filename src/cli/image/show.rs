//! `image-factory image show`
use super::{json, need, value};
use crate::cli::{Context, Failure, out};
use crate::engine::run_dir::CHECKED;
use crate::lifecycle::lineage::{self, Lineage, Sources};
use crate::model::image::{Image, Provenance};
use crate::provider::Provider;
use crate::text::shell;

pub async fn run(context: &Context, cloud: &dyn Provider, wanted: &str) -> Result<(), Failure> {
    let images = cloud.artifacts().list().await?;
    let image = &need(context, cloud, &images, wanted).await?;
    let tree = context.tree().ok();
    let definitions = context.sound().await?;
    let of_tree = lineage::Tree { root: tree.as_deref(), definitions: &definitions };
    let fetch = lineage::fetch(&context.home, &context.proxies);
    let noted = context.home.data.join(CHECKED);
    let from = Sources { cloud, fetch: &fetch, cancel: &context.cancel, noted: Some(&noted) };
    let lineage = lineage::lineage(from, &images, image, of_tree).await?;
    if context.common.json {
        let mut value = value(image);
        value["lineage"] = serde_json::to_value(&lineage).expect("lineage is plain data");
        out(&json(&value));
    } else {
        out(&details(image, &lineage));
    }
    Ok(())
}

/// Lines with a key and a value.
#[derive(Default)]
struct Details(Vec<String>);

impl Details {
    fn line(&mut self, key: &str, value: impl std::fmt::Display) {
        self.0.push(format!("{key:<11} {value}"));
    }
}

fn details(image: &Image, lineage: &Lineage) -> String {
    let mut details = Details::default();
    identity(&mut details, image, lineage.current);
    requirements(&mut details, image);
    relations(&mut details, lineage);
    for (key, value) in &image.properties {
        details.line("property", format!("{key}={value}"));
    }
    details.0.join("\n")
}

fn identity(details: &mut Details, image: &Image, current: bool) {
    details.line("id", &image.id);
    details.line("name", &image.name);
    details.line("family", &image.family);
    let hidden = match (image.hidden, image.hidden_at()) {
        (true, Some(at)) => format!(", hidden since {}", at.strftime("%Y-%m-%d %H:%M")),
        (true, None) => ", hidden".into(),
        (false, _) => String::new(),
    };
    let current = if current { ", current" } else { "" };
    let held = image.standing().held_at.filter(|_| image.is_held());
    let held = held.map_or(String::new(), |at| format!(", held since {}", at.strftime("%Y-%m-%d")));
    details.line("state", format!("{}{current}{hidden}{held}", image.state.name()));
    details.line("created", format!("{:.0}", image.created));
    if let Some(unusable) = &image.unusable {
        details.line("unusable", format!("{}; {}", unusable.why, unusable.way_out));
    }
    let provenance = match image.provenance() {
        Provenance::Ours => "ours: it says that it was published under its own ID".into(),
        Provenance::Legacy => format!(
            "legacy: published before images proved whose they are; `image-factory image adopt {}` \
                mends it",
            shell::word(&image.id)
        ),
        Provenance::Foreign(why) => {
            format!("foreign: {why}; it is never changed, and no family means it")
        }
    };
    details.line("provenance", provenance);
    if let Some(at) = image.published_at() {
        details.line("published", format!("{at:.0}"));
    }
}

fn requirements(details: &mut Details, image: &Image) {
    details.line("size", format!("{} bytes, disk {} bytes", image.size, image.virtual_size));
    details.line("sha512", &image.checksum);
    details
        .line("needs", format!("{} GiB disk, {} MiB RAM", image.min_disk_gib, image.min_ram_mib));
    details.line("visibility", format!("{:?}", image.visibility).to_lowercase());
    if !image.tags.is_empty() {
        details.line("tags", image.tags.join(", "));
    }
}

fn relations(details: &mut Details, lineage: &Lineage) {
    if let Some(base) = &lineage.base {
        let name = base.image.as_ref().map_or("(no longer there)", |b| &b.name);
        let same = match base.same {
            Some(true) => ", content as it was",
            Some(false) => ", CONTENT DIFFERS from what this image was built on",
            None => "",
        };
        details.line("base", format!("{name} {}{same}", base.id));
    }
    for (index, child) in lineage.children.iter().enumerate() {
        let key = if index == 0 { "children" } else { "" };
        details.line(key, format!("{} {} {}", child.name, child.id, child.state.name()));
    }
    for (key, value) in [
        ("commit", &lineage.commit),
        ("definition", &lineage.definition),
        ("inputs", &lineage.inputs),
        ("tests", &lineage.tests),
    ] {
        details.line(key, value.as_deref().unwrap_or("not known"));
    }
    let compared = if lineage.compared {
        "the definition in this tree and its base"
    } else {
        "its base's family alone: no definition here"
    };
    match (&lineage.stale[..], &lineage.unknown) {
        ([], Some(unknown)) => details.line("stale", format!("not known: {unknown}")),
        ([], None) => details.line("stale", format!("no (compared: {compared})")),
        (why, _) => details.line("stale", format!("yes: {}", why.join("; "))),
    }
}
