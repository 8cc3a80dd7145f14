//! `image-factory image`
use std::process::ExitCode;

use super::{Context, Failure, out};
use crate::image::{Image, State};

#[derive(clap::Subcommand)]
pub enum Command {
    /// List images, newest first
    List {
        /// Only images of this family
        family: Option<String>,
    },
    /// Show one image: by ID, exact name, or family (its newest)
    Show { image: String },
}

pub async fn run(context: &Context, command: &Command) -> Result<ExitCode, Failure> {
    let (cloud, _) = context.cloud()?;
    let images = cloud.images().await?;
    match command {
        Command::List { family } => {
            let listed: Vec<&Image> = images.iter().filter(|i| family.as_ref().is_none_or(|f| *f == i.family)).collect();
            if context.common.json {
                out(&json(&listed));
            } else {
                out(&table(&listed));
            }
        }
        Command::Show { image } => {
            let found = find(&images, image)
                .ok_or_else(|| Failure::cloud(format!("no image `{image}`")).hint("`image-factory image list` shows what there is"))?;
            if context.common.json { out(&json(found)) } else { out(&details(found)) }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// By ID, exact name, or family: its newest active one.
pub fn find<'a>(images: &'a [Image], wanted: &str) -> Option<&'a Image> {
    let by = |test: &dyn Fn(&&Image) -> bool| images.iter().find(test);
    by(&|i| i.id == wanted).or_else(|| by(&|i| i.name == wanted)).or_else(|| by(&|i| i.family == wanted && i.state == State::Active))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("images are plain data")
}

fn table(images: &[&Image]) -> String {
    let name = images.iter().map(|i| i.name.len()).max().unwrap_or(0).max("NAME".len());
    let mut lines = vec![format!("{:<36}  {:<name$}  {:<10}  {:>9}  CREATED", "ID", "NAME", "STATE", "SIZE")];
    for i in images {
        let created = i.created.strftime("%Y-%m-%d %H:%M");
        lines.push(format!("{:<36}  {:<name$}  {:<10}  {:>5} MiB  {created}", i.id, i.name, i.state.name(), i.size >> 20));
    }
    lines.join("\n")
}

fn details(i: &Image) -> String {
    let mut lines = vec![
        format!("id          {}", i.id),
        format!("name        {}", i.name),
        format!("family      {}", i.family),
        format!("state       {}", i.state.name()),
        format!("created     {}", i.created),
        format!("size        {} bytes, disk {} bytes", i.size, i.virtual_size),
        format!("sha512      {}", i.checksum),
        format!("needs       {} GiB disk, {} MiB RAM", i.min_disk_gb, i.min_ram_mb),
        format!("visibility  {:?}", i.visibility).to_lowercase(),
    ];
    if !i.tags.is_empty() {
        lines.push(format!("tags        {}", i.tags.join(", ")));
    }
    lines.extend(i.properties.iter().map(|(k, v)| format!("property    {k}={v}")));
    lines.join("\n")
}
