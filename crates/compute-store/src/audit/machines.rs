//! O5, O6, O7 and O10: states, time and places.

use super::Question;

/// An instance is where its operations have brought it.
const STATES_AGREE: &str = "SELECT 'instance ' || instances.id || ' is ' || instances.state
    || '; its provision is ' || COALESCE(provisions.state, 'missing') || ', its destructions: '
    || COALESCE(destructions.open, 0) || ' open, ' || COALESCE(destructions.done, 0) || ' done'
FROM instances
LEFT JOIN operations AS provisions
    ON provisions.instance_id = instances.id AND provisions.kind = 'provision'
LEFT JOIN (
    SELECT instance_id,
        SUM(CASE WHEN state IN ('running', 'stuck') THEN 1 ELSE 0 END) AS open,
        SUM(CASE WHEN state = 'succeeded' THEN 1 ELSE 0 END) AS done
    FROM operations
    WHERE kind = 'destroy'
    GROUP BY instance_id
) AS destructions ON destructions.instance_id = instances.id
WHERE NOT CASE
    WHEN instances.state IN ('pending', 'provisioning')
        THEN COALESCE(provisions.state, 'missing') IN ('running', 'stuck')
            AND destructions.instance_id IS NULL
    WHEN instances.state = 'active'
        THEN COALESCE(provisions.state, 'missing') = 'succeeded'
            AND destructions.instance_id IS NULL
    WHEN instances.state = 'destroying'
        THEN COALESCE(provisions.state, 'missing') = 'succeeded'
            AND COALESCE(destructions.open, 0) = 1
    WHEN instances.state = 'destroyed'
        THEN COALESCE(provisions.state, 'missing') = 'succeeded'
            AND COALESCE(destructions.done, 0) = 1
    ELSE COALESCE(provisions.state, 'missing') = 'failed'
        AND COALESCE(provisions.failure_code, 'missing') = instances.failure_code
        AND destructions.instance_id IS NULL
END
LIMIT 100";

/// An instance is being changed exactly while an operation changes it.
const CHANGES_ARE_AT_WORK: &str = "SELECT 'instance ' || instances.id || ' is to become '
    || COALESCE(instances.resize_plan_id, 'nothing else') || '; its open change is '
    || COALESCE(changes.id, 'missing')
FROM instances
LEFT JOIN operations AS changes
    ON changes.instance_id = instances.id AND changes.kind = 'resize'
    AND changes.state IN ('running', 'stuck')
WHERE (instances.resize_plan_id IS NULL) <> (changes.id IS NULL)
LIMIT 100";

const EXPIRY_IS_THE_END_OF_THE_LOTS: &str = "SELECT 'instance ' || instances.id || ' ends at '
    || instances.expires_at || '; its lots end at ' || COALESCE(MAX(lots.ends_at), 0)
FROM instances
LEFT JOIN prepaid_lots AS lots
    ON lots.instance_id = instances.id AND lots.closed_at IS NULL
WHERE instances.state = 'active'
GROUP BY instances.id, instances.expires_at
HAVING instances.expires_at <> COALESCE(MAX(lots.ends_at), 0)
LIMIT 100";

const HOURS_ARE_THE_LOTS: &str = "SELECT 'instance ' || instances.id || ' was sold '
    || (instances.prepaid_hours + instances.extended_hours) || ' hours; its lots last '
    || SUM(lots.ends_at - lots.starts_at) || ' ms'
FROM instances
JOIN prepaid_lots AS lots ON lots.instance_id = instances.id AND lots.origin = 'purchase'
GROUP BY instances.id, instances.prepaid_hours, instances.extended_hours
HAVING SUM(lots.ends_at - lots.starts_at)
    <> (instances.prepaid_hours + instances.extended_hours) * 3600000
LIMIT 100";

const OWNERS_PLACES: &str = "SELECT 'owner ' || owners.id || ' has taken ' || owners.live_instances
    || ' places for ' || COALESCE(live.instances, 0) || ' live instances'
FROM owners
LEFT JOIN (
    SELECT owner_id, COUNT(*) AS instances
    FROM instances
    WHERE state NOT IN ('destroyed', 'failed')
    GROUP BY owner_id
) AS live ON live.owner_id = owners.id
WHERE owners.live_instances <> COALESCE(live.instances, 0)
LIMIT 100";

const ALL_PLACES: &str = "SELECT 'counter ' || counters.name || ' is ' || counters.value
    || '; the live instances say '
    || CASE counters.name WHEN 'instances' THEN live.instances ELSE live.hourly END
FROM counters
CROSS JOIN (
    SELECT COUNT(*) AS instances, COALESCE(SUM(
            CASE WHEN resize_rate_micros > rate_hour_micros THEN resize_rate_micros
                ELSE rate_hour_micros END
        ), 0) AS hourly
    FROM instances
    WHERE state NOT IN ('destroyed', 'failed')
) AS live
WHERE counters.value <> CASE counters.name WHEN 'instances' THEN live.instances ELSE live.hourly END
LIMIT 100";

const EVERY_PURCHASE_IS_A_LOT: &str =
    "SELECT 'operation ' || operations.id || ' succeeded; it put '
    || COUNT(DISTINCT lots.seq) || ' lots on its instance and moved money '
    || COUNT(DISTINCT paid.id) || ' times'
FROM operations
LEFT JOIN prepaid_lots AS lots
    ON lots.operation_id = operations.id AND lots.origin = 'purchase'
LEFT JOIN ledger_transfers AS paid
    ON paid.operation_id = operations.id AND paid.reason IN ('sale', 'spend')
WHERE operations.kind IN ('provision', 'extend') AND operations.state = 'succeeded'
GROUP BY operations.id
HAVING COUNT(DISTINCT lots.seq) <> 1 OR COUNT(DISTINCT paid.id) <> 1
    OR MAX(lots.amount_micros) <> MAX(paid.amount_micros)
LIMIT 100";

const EVERY_LOT_IS_A_PURCHASE: &str = "SELECT 'lot ' || lots.seq || ' of instance '
    || lots.instance_id || ' was bought by operation ' || lots.operation_id
    || ', which did not succeed'
FROM prepaid_lots AS lots
JOIN operations ON operations.id = lots.operation_id
WHERE lots.origin = 'purchase'
    AND (operations.state <> 'succeeded' OR operations.kind NOT IN ('provision', 'extend'))
LIMIT 100";

pub(super) const QUESTIONS: &[Question] = &[
    Question {
        promise: "O7",
        sql: EVERY_PURCHASE_IS_A_LOT,
    },
    Question {
        promise: "O7",
        sql: EVERY_LOT_IS_A_PURCHASE,
    },
    Question {
        promise: "O5",
        sql: STATES_AGREE,
    },
    Question {
        promise: "O6",
        sql: CHANGES_ARE_AT_WORK,
    },
    Question {
        promise: "O7",
        sql: EXPIRY_IS_THE_END_OF_THE_LOTS,
    },
    Question {
        promise: "O7",
        sql: HOURS_ARE_THE_LOTS,
    },
    Question {
        promise: "O10",
        sql: OWNERS_PLACES,
    },
    Question {
        promise: "O10",
        sql: ALL_PLACES,
    },
];
