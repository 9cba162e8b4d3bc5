//! What is for sale.

use std::cmp::Reverse;

use anyhow::Result;
use compute_client::{Identity, Plan};
use serde_json::{Value, json};

use crate::args::{Filter, Sort};
use crate::context::Context;
use crate::end::End;
use crate::print::{self, cell};

pub(super) async fn plans(context: &Context, filter: &Filter) -> Result<End> {
    let (found, plans) = choose(context.shop.plans().await?, filter);
    if context.global.json {
        print::document(&json!({ "result": "done", "count": found, "plans": plans }));
        return Ok(End::Done);
    }
    let titles = [
        "PLAN", "USD/H", "USD/DAY", "CPU", "RAM GB", "GPU", "VRAM GB", "REGIONS",
    ];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    rows.extend(plans.iter().map(row));
    print::table(&rows);
    if found > plans.len() {
        print::progress(&format!("{} of {found}; --limit shows more", plans.len()));
    }
    Ok(End::Done)
}

/// How many are wanted, and as many of them as fit.
pub(crate) fn choose(mut plans: Vec<Plan>, filter: &Filter) -> (usize, Vec<Plan>) {
    plans.retain(|plan| is_wanted(plan, filter));
    match filter.sort {
        Sort::Price => plans.sort_by_key(|plan| plan.our_hourly),
        Sort::Vram => plans.sort_by_key(|plan| (Reverse(plan.gpu_vram_gb), plan.our_hourly)),
        Sort::Ram => plans.sort_by_key(|plan| (Reverse(plan.ram), plan.our_hourly)),
    }
    let found = plans.len();
    plans.truncate(filter.limit);
    (found, plans)
}

fn row(plan: &Plan) -> Vec<String> {
    let regions = match plan.locations.as_slice() {
        [] => "sold out".to_owned(),
        [first, rest @ ..] if rest.len() > 4 => format!("{first} and {} more", rest.len()),
        all => all.join(" "),
    };
    let gb = format!("{}.{}", plan.ram / 1_024, plan.ram % 1_024 * 10 / 1_024);
    vec![
        plan.id.clone(),
        plan.our_hourly.to_string(),
        plan.our_daily.to_string(),
        plan.vcpu_count.to_string(),
        gb,
        plan.gpu_type.clone().unwrap_or_default(),
        plan.gpu_vram_gb
            .map(|gb| gb.to_string())
            .unwrap_or_default(),
        regions,
    ]
}

fn is_wanted(plan: &Plan, filter: &Filter) -> bool {
    let Filter {
        provider,
        region,
        gpu,
        min_vram,
        min_vcpus,
        min_ram,
        max_hourly,
        ..
    } = filter;
    let is_there = |region: &String| plan.locations.contains(region);
    provider
        .as_ref()
        .is_none_or(|provider| plan.provider == *provider)
        && region.as_ref().is_none_or(is_there)
        && (!gpu || plan.gpu_vram_gb.is_some())
        && min_vram.is_none_or(|gb| plan.gpu_vram_gb >= Some(gb))
        && min_vcpus.is_none_or(|count| plan.vcpu_count >= count)
        && min_ram.is_none_or(|gb| plan.ram >= gb.saturating_mul(1_024))
        && max_hourly.is_none_or(|limit| plan.our_hourly <= limit)
}

pub(super) async fn regions(context: &Context) -> Result<End> {
    let columns = ["/id", "/city", "/country", "/continent"];
    list(context, "/compute/regions", "regions", &columns).await
}

pub(super) async fn images(context: &Context) -> Result<End> {
    let columns = ["/id", "/name", "/family", "/arch"];
    list(context, "/compute/os", "os_options", &columns).await
}

async fn list(context: &Context, path: &str, member: &str, columns: &[&str]) -> Result<End> {
    let reply = context.shop.get(path, &Identity::Nobody).await?;
    let found = reply.body.get(member).cloned().unwrap_or_default();
    if context.global.json {
        print::document(&json!({ "result": "done", member: found }));
        return Ok(End::Done);
    }
    let titles = columns
        .iter()
        .map(|column| column.trim_start_matches('/').to_uppercase());
    let mut rows: Vec<Vec<String>> = vec![titles.collect()];
    let all = found.as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |it: &Value| columns.iter().map(|column| cell(it, column)).collect();
    rows.extend(all.iter().map(row));
    print::table(&rows);
    Ok(End::Done)
}
