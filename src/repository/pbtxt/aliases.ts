import {
  type ConfigWarning,
  type FieldNode,
  fieldsNamed,
  itemsOf,
  type ListNode,
  type MessageNode,
  scalarText,
} from './syntax-tree.ts';

/**
 * Configurations in the wild use forms that Triton's `ModelConfig` does not have. Those whose meaning is plain are
 * rewritten into the right form, with a warning that shows it:
 *
 * - `rate_limit_resources` at the top or in an instance group, for `rate_limiter { resources [...] }`;
 * - `model_repository_agents` written as a list, or with `kind: "version_policy"`, for `agents` and `version_policy`;
 * - lists where a field takes one message and the list has one element.
 */
export function rewriteAliases(root: MessageNode): { root: MessageNode; warnings: readonly ConfigWarning[] } {
  const warnings: ConfigWarning[] = [];
  const withAgents = rewriteAgents(root, warnings);
  const withLimits = rewriteRateLimits(withAgents, warnings);
  return { root: unwrapSingletons(withLimits, warnings), warnings };
}

function message(like: MessageNode | FieldNode, fields: readonly FieldNode[]): MessageNode {
  return { kind: 'message', fields, position: like.position };
}

function rewriteAgents(root: MessageNode, warnings: ConfigWarning[]): MessageNode {
  const fields: FieldNode[] = [];
  for (const field of root.fields) {
    const isAlias =
      field.name === 'model_repository_agents' &&
      itemsOf(field.value).some((item) => item.kind === 'message' && fieldsNamed(item, 'agents').length === 0);
    if (!isAlias) {
      fields.push(field);
      continue;
    }
    for (const item of itemsOf(field.value)) {
      if (item.kind !== 'message') continue;
      if ((scalarText(item, 'kind') ?? scalarText(item, 'name')) === 'version_policy') {
        fields.push(...versionPolicyOf(root, field, item, warnings));
      } else {
        fields.push(wrapAgent(field, item, warnings));
      }
    }
  }
  return message(root, fields);
}

/** `kind: "version_policy"` says again what `version_policy` says; it counts only where that field is missing. */
function versionPolicyOf(
  root: MessageNode,
  field: FieldNode,
  item: MessageNode,
  warnings: ConfigWarning[],
): readonly FieldNode[] {
  const parameters = fieldsNamed(item, 'parameters').flatMap((parameter) => itemsOf(parameter.value));
  const type = parameters
    .filter((entry): entry is MessageNode => entry.kind === 'message' && scalarText(entry, 'key') === 'policy_type')
    .map((entry) => scalarText(entry, 'value'))[0];
  const policy = type === 'all' ? 'all' : 'latest';
  warnings.push({
    position: field.position,
    message: `'model_repository_agents' has no kind "version_policy"; write: version_policy { ${policy} { } }`,
  });
  if (fieldsNamed(root, 'version_policy').length > 0) return [];
  const choice: FieldNode = { name: policy, value: message(field, []), position: field.position };
  return [{ name: 'version_policy', value: message(field, [choice]), position: field.position }];
}

function wrapAgent(field: FieldNode, item: MessageNode, warnings: ConfigWarning[]): FieldNode {
  warnings.push({
    position: field.position,
    message: "'model_repository_agents' is one message; write: model_repository_agents { agents [ { name: ... } ] }",
  });
  const renamed = item.fields.map((part) => (part.name === 'kind' ? { ...part, name: 'name' } : part));
  const agents: FieldNode = { name: 'agents', value: message(item, renamed), position: item.position };
  return { ...field, value: message(field, [agents]) };
}

function rewriteRateLimits(root: MessageNode, warnings: ConfigWarning[]): MessageNode {
  const declared = new Map<string, MessageNode>();
  const fields: FieldNode[] = [];
  for (const field of root.fields) {
    if (field.name !== 'rate_limit_resources') {
      fields.push(field);
      continue;
    }
    for (const item of itemsOf(field.value)) {
      if (item.kind === 'message') declared.set(scalarText(item, 'name') ?? '', item);
    }
    warnings.push({
      position: field.position,
      message:
        '\'rate_limit_resources\' is not a field of ModelConfig; write it into the instance group: instance_group [ { rate_limiter { resources [ { name: "R" global: true count: 1 } ] } } ]',
    });
  }
  return message(
    root,
    fields.map((field) => (field.name === 'instance_group' ? rewriteGroups(field, declared, warnings) : field)),
  );
}

function rewriteGroups(
  field: FieldNode,
  declared: ReadonlyMap<string, MessageNode>,
  warnings: ConfigWarning[],
): FieldNode {
  const items = itemsOf(field.value).map((group) =>
    group.kind === 'message' && fieldsNamed(group, 'rate_limit_resources').length > 0
      ? rewriteGroup(group, declared, warnings)
      : group,
  );
  const list: ListNode = { kind: 'list', items, position: field.value.position };
  return { ...field, value: list };
}

function rewriteGroup(
  group: MessageNode,
  declared: ReadonlyMap<string, MessageNode>,
  warnings: ConfigWarning[],
): MessageNode {
  const fields: FieldNode[] = [];
  for (const field of group.fields) {
    if (field.name !== 'rate_limit_resources') {
      fields.push(field);
      continue;
    }
    warnings.push({
      position: field.position,
      message:
        '\'rate_limit_resources\' is not a field of ModelInstanceGroup; write: rate_limiter { resources [ { name: "R" count: 1 } ] }',
    });
    const resources = itemsOf(field.value).map((item) => resourceOf(item, declared));
    const list: ListNode = { kind: 'list', items: resources, position: field.position };
    const limiter = message(field, [{ name: 'resources', value: list, position: field.position }]);
    fields.push({ name: 'rate_limiter', value: limiter, position: field.position });
  }
  return message(group, fields);
}

/** A resource by name, with the count it needs: one, unless said otherwise. */
function resourceOf(item: ReturnType<typeof itemsOf>[number], declared: ReadonlyMap<string, MessageNode>): MessageNode {
  const known = item.kind === 'message' ? item : declared.get(item.text);
  const base: readonly FieldNode[] =
    known?.fields ??
    (item.kind === 'message' ? [] : [{ name: 'name', value: { ...item, kind: 'string' }, position: item.position }]);
  const one: FieldNode = {
    name: 'count',
    value: { kind: 'number', text: '1', position: item.position },
    position: item.position,
  };
  const counted = base.some((field) => field.name === 'count') ? base : [...base, one];
  return { kind: 'message', fields: counted, position: item.position };
}

/** Fields of `ModelConfig` that hold one message and are sometimes written as a list of one. */
const SINGLE_MESSAGE_FIELDS: ReadonlySet<string> = new Set([
  'dynamic_batching',
  'sequence_batching',
  'ensemble_scheduling',
  'optimization',
  'version_policy',
  'model_repository_agents',
  'model_transaction_policy',
  'response_cache',
]);

function unwrapSingletons(root: MessageNode, warnings: ConfigWarning[]): MessageNode {
  return message(
    root,
    root.fields.map((field) => {
      const value = field.value;
      const only = value.kind === 'list' && value.items.length === 1 ? value.items[0] : undefined;
      if (!SINGLE_MESSAGE_FIELDS.has(field.name) || only?.kind !== 'message') return field;
      warnings.push({
        position: field.position,
        message: `'${field.name}' is one message, not a list; write: ${field.name} { ... }`,
      });
      return { ...field, value: only };
    }),
  );
}
