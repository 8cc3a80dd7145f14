//! `image-factory image show`
use super::{json, need, value};
use crate::cli::{Context, Failure, out};
use crate::lifecycle::lineage::{self, Lineage};
use crate::model::image::{Image, Provenance};
use crate::provider::Cloud;
use crate::text::shell;

pub async fn run(context: &Context, cloud: &dyn Cloud, wanted: &str) -> Result<(), Failure> {
    let images = cloud.images().await?;
    let image = &need(context, cloud, &images, wanted).await?;
    let tree = context.tree().ok();
    let definitions = context.sound().await?;
    let of_tree = lineage::Tree { root: tree.as_deref(), definitions: &definitions };
    let lineage = lineage::lineage(cloud, &images, image, of_tree).await?;
    if context.common.json {
        let mut value = value(image);
        value["lineage"] = serde_json::to_value(&lineage).expect("lineage is plain data");
        out(&json(&value));
    } else {
        out(&details(image, &lineage));
    }
    Ok(())
}

fn details(i: &Image, l: &Lineage) -> String {
    let mut lines = Vec::new();
    let mut line = |key: &str, value: String| lines.push(format!("{key:<11} {value}"));
    line("id", i.id.clone());
    line("name", i.name.clone());
    line("family", i.family.clone());
    let hidden = match (i.hidden, i.hidden_at()) {
        (true, Some(at)) => format!(", hidden since {}", at.strftime("%Y-%m-%d %H:%M")),
        (true, None) => ", hidden".into(),
        (false, _) => String::new(),
    };
    line(
        "state",
        format!("{}{}{hidden}", i.state.name(), if l.current { ", current" } else { "" }),
    );
    line("created", format!("{:.0}", i.created));
    if let Some(unusable) = &i.unusable {
        line("unusable", format!("{}; {}", unusable.why, unusable.way_out));
    }
    match i.provenance() {
        Provenance::Ours => {
            line("provenance", "ours: it says that it was published under its own ID".into())
        }
        Provenance::Legacy => line(
            "provenance",
            format!(
                "legacy: published before images proved whose they are; `image-factory image adopt \
                    {}` mends it",
                shell::word(&i.id)
            ),
        ),
        Provenance::Foreign(why) => line(
            "provenance",
            format!("foreign: {why}; it is never changed, and no family means it"),
        ),
    }
    if let Some(at) = i.published_at() {
        line("published", format!("{at:.0}"));
    }
    line("size", format!("{} bytes, disk {} bytes", i.size, i.virtual_size));
    line("sha512", i.checksum.clone());
    line("needs", format!("{} GiB disk, {} MiB RAM", i.min_disk_gib, i.min_ram_mib));
    line("visibility", format!("{:?}", i.visibility).to_lowercase());
    if !i.tags.is_empty() {
        line("tags", i.tags.join(", "));
    }
    if let Some(base) = &l.base {
        let name = base.image.as_ref().map_or("(no longer there)", |b| &b.name);
        let same = match base.same {
            Some(true) => ", content as it was",
            Some(false) => ", CONTENT DIFFERS from what this image was built on",
            None => "",
        };
        line("base", format!("{name} {}{same}", base.id));
    }
    for (index, child) in l.children.iter().enumerate() {
        line(
            if index == 0 { "children" } else { "" },
            format!("{} {} {}", child.name, child.id, child.state.name()),
        );
    }
    for (key, value) in [
        ("commit", &l.commit),
        ("definition", &l.definition),
        ("inputs", &l.inputs),
        ("tests", &l.tests),
    ] {
        line(key, value.clone().unwrap_or_else(|| "not known".into()));
    }
    let looked_at = if l.compared {
        "the definition in this tree and its base"
    } else {
        "its base's family alone: no definition here"
    };
    match &l.stale[..] {
        [] => line("stale", format!("no (compared: {looked_at})")),
        why => line("stale", format!("yes: {}", why.join("; "))),
    }
    for (k, v) in &i.properties {
        line("property", format!("{k}={v}"));
    }
    lines.join("\n")
}
