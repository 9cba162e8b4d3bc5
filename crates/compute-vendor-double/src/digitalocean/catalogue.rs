use std::io;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// What the double sells: stored answers of the real service, passed on digit by digit.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub(super) sizes: Vec<Row>,
    pub(super) regions: Vec<Row>,
    pub(super) images: Vec<Row>,
    next_image: u64,
}

/// One row: its text as the vendor wrote it, and its members.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) text: String,
    pub(super) value: Value,
}

#[derive(Deserialize)]
struct Sizes<'a> {
    #[serde(borrow)]
    sizes: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Regions<'a> {
    #[serde(borrow)]
    regions: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Images<'a> {
    #[serde(borrow)]
    images: Vec<&'a RawValue>,
}

impl Row {
    fn parse(text: &str) -> serde_json::Result<Self> {
        Ok(Self {
            text: text.to_owned(),
            value: serde_json::from_str(text)?,
        })
    }

    pub(super) fn text_of(&self, member: &str) -> &str {
        let value = self.value.get(member).and_then(Value::as_str);
        value.unwrap_or_default()
    }

    pub(super) fn number(&self, member: &str) -> u64 {
        let value = self.value.get(member).and_then(Value::as_u64);
        value.unwrap_or_default()
    }

    pub(super) fn is(&self, member: &str) -> bool {
        self.value.get(member) == Some(&Value::Bool(true))
    }

    pub(super) fn lists(&self, member: &str, wanted: &str) -> bool {
        let list = self.value.get(member).and_then(Value::as_array);
        list.is_some_and(|list| list.iter().any(|item| item == wanted))
    }

    pub(super) fn has_gpu(&self) -> bool {
        self.value.get("gpu_info").is_some() || self.text_of("slug").starts_with("gpu-")
    }
}

impl Catalogue {
    pub(super) fn load() -> io::Result<Self> {
        let sizes = include_str!("../../fixtures/digitalocean/sizes.json");
        let regions = include_str!("../../fixtures/digitalocean/regions.json");
        let images = include_str!("../../fixtures/digitalocean/images_distribution.json");
        Ok(Self {
            sizes: rows(serde_json::from_str::<Sizes<'_>>(sizes)?.sizes)?,
            regions: rows(serde_json::from_str::<Regions<'_>>(regions)?.regions)?,
            images: rows(serde_json::from_str::<Images<'_>>(images)?.images)?,
            next_image: 300_000_001,
        })
    }

    pub(super) fn size(&self, slug: &str) -> Option<&Row> {
        self.sizes.iter().find(|row| row.text_of("slug") == slug)
    }

    pub(super) fn region(&self, slug: &str) -> Option<&Row> {
        self.regions.iter().find(|row| row.text_of("slug") == slug)
    }

    /// An image by slug or number, retired ones included.
    pub(super) fn image(&self, wanted: &Value) -> Option<&Row> {
        self.images
            .iter()
            .find(|row| match (wanted.as_str(), wanted.as_u64()) {
                (Some(slug), _) => row.text_of("slug") == slug,
                (_, Some(id)) => row.number("id") == id,
                _ => false,
            })
    }

    /// The image is in this region no more.
    pub(super) fn withdraw_image(&mut self, slug: &str, region: &str) {
        let mut images = self.images.iter_mut();
        if let Some(row) = images.find(|row| row.text_of("slug") == slug) {
            let regions = row.value.get_mut("regions").and_then(Value::as_array_mut);
            if let Some(regions) = regions {
                regions.retain(|own| own != region);
            }
            row.text = row.value.to_string();
        }
    }

    pub(super) fn add_size(&mut self, row: &str) -> serde_json::Result<()> {
        self.sizes.push(Row::parse(row)?);
        Ok(())
    }

    pub(super) fn rebuild_image(&mut self, slug: &str) {
        let mut images = self.images.iter_mut();
        let Some(old) = images.find(|row| row.text_of("slug") == slug) else {
            return;
        };
        let mut rebuilt = old.value.clone();
        set(&mut rebuilt, "id", self.next_image.into());
        set(&mut old.value, "slug", Value::Null);
        set(&mut old.value, "public", Value::Bool(false));
        set(&mut old.value, "regions", Value::Array(Vec::new()));
        set(&mut old.value, "status", "retired".into());
        old.text = old.value.to_string();
        self.next_image = self.next_image.saturating_add(1);
        self.images.push(Row {
            text: rebuilt.to_string(),
            value: rebuilt,
        });
    }
}

fn set(row: &mut Value, member: &str, value: Value) {
    if let Some(members) = row.as_object_mut() {
        members.insert(member.to_owned(), value);
    }
}

fn rows(raw: Vec<&RawValue>) -> serde_json::Result<Vec<Row>> {
    raw.into_iter().map(|raw| Row::parse(raw.get())).collect()
}
