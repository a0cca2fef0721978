-- Which group a job is for: the one that it names, or the best that its team may use. Lua 5.1 to 5.4.
--
-- What people are to read is kept in `r.said`; nothing is told from here. Given the table and the requests.

local policy = ...

local function say(r, line) r.said[#r.said + 1] = line end

local function may_use(account, group)
  return group.teams == nil or group.teams[account] == true
end

local function names_where(wanted)
  local names = {}
  for _, name in ipairs(policy.order) do
    if wanted(policy.groups[name], name) then names[#names + 1] = name end
  end
  return names
end

local function has_it(r, group)
  if r.kind and r.kind ~= group.gpu_type then return false end
  return not r.wants_share or (group.shards > 0 and r.wants_share == (group.sharing or "shard"))
end

local function suits(r, group)
  if r.qos == "development" then return group.use ~= "training" end
  return group.use ~= "development" or (r.wants_share and r.qos == nil)
end

local function teams_of(group)
  local teams = {}
  for name in pairs(group.teams) do teams[#teams + 1] = name end
  table.sort(teams)
  return table.concat(teams, ", ")
end

local function not_allowed(r, names)
  local mine = names_where(function(group) return may_use(r.account, group) end)
  for _, name in ipairs(names) do
    say(r, ("team %s may not use %s (%s may)"):format(r.account, name, teams_of(policy.groups[name])))
  end
  say(r, #mine > 0 and "it may use: " .. table.concat(mine, ", ") or "there is no group that it may use")
  r.is_barred = true
  return nil
end

-- The groups that the job names; nil where one is not ours: the site's own partitions are the site's business.
local function named(r)
  local groups = {}
  for name in r.partition:gmatch("[^,]+") do
    local group = policy.groups[name]
    if group == nil then return nil end
    if not may_use(r.account, group) then return not_allowed(r, { name }) end
    groups[#groups + 1] = name
  end
  return #groups > 0 and groups or nil
end

-- GPUs that are not shared first, and groups for training, before others; otherwise the file's order.
local function cost_of(r, name)
  local group = policy.groups[name]
  local cost = (name == policy.default_group and 0 or 1) + (group.use == "development" and 4 or 0)
  return (not r.wants_share and group.shards > 0) and cost + 2 or cost
end

local function best_of(r, names)
  local best, rank
  for _, name in ipairs(names) do
    local cost = cost_of(r, name)
    if best == nil or cost < rank then best, rank = name, cost end
  end
  return best
end

local function site_has_default(partitions)
  for name, each in pairs(partitions or {}) do
    if policy.groups[name] == nil and each.flag_default == 1 then return true end
  end
  return false
end

-- Say which types of GPUs there are; Slurm refuses one that there is not, unless the site has a partition for it.
local function tell_of_types(r, partitions)
  if r.kind == nil or site_has_default(partitions) then return nil end
  local types, seen = {}, {}
  for _, name in ipairs(policy.order) do
    local kind = policy.groups[name].gpu_type
    if kind == r.kind then return nil end
    if not seen[kind] then types[#types + 1], seen[kind] = kind, true end
  end
  say(r, ("no group has GPUs of type %s; there are %s"):format(r.kind, table.concat(types, ", ")))
  return nil
end

-- The groups that have what it asks for; those of them that are open to its team; those that are for such jobs.
local function sort_out(r)
  local fitting, allowed, suiting = {}, {}, {}
  for _, name in ipairs(policy.order) do
    local group = policy.groups[name]
    if has_it(r, group) then
      fitting[#fitting + 1] = name
      if may_use(r.account, group) then
        allowed[#allowed + 1] = name
        if suits(r, group) then suiting[#suiting + 1] = name end
      end
    end
  end
  return fitting, allowed, suiting
end

-- True where no other group can be better than the default one.
local function is_default_best(r)
  local group = policy.groups[policy.default_group]
  if group == nil or cost_of(r, policy.default_group) > 0 then return false end
  return has_it(r, group) and may_use(r.account, group) and suits(r, group)
end

-- The group for a job that names none, and why; nil where that is not for us to say.
local function chosen(r, partitions)
  if policy.default_group == nil and r.kind == nil and site_has_default(partitions) then return nil end
  if is_default_best(r) then return { policy.default_group } end
  local fitting, allowed, suiting = sort_out(r)
  if #fitting == 0 then return tell_of_types(r, partitions) end
  if #allowed == 0 then return not_allowed(r, fitting) end
  local name = best_of(r, #suiting > 0 and suiting or allowed)
  if name ~= policy.default_group then
    r.chosen = name
    local why = r.kind and ("its GPUs are " .. r.kind) or r.wants_share and "its GPUs are shared"
    say(r, ("partition: none -> %s (%s)"):format(name, why or ("team " .. r.account .. " may use it")))
  end
  return { name }
end

-- The names of the job's groups, or nil; `r.chosen` where it named none and now has one, `r.is_barred` where its team
-- may not use what it names. A job that wants no GPUs goes to Slurm's default partition.
local function find(r, partitions)
  r.said = {}
  if r.partition then return named(r) end
  if r.wants_gpu or r.wants_share then return chosen(r, partitions) end
  return policy.default_group and { policy.default_group } or nil
end

-- GPUs of another type than the named groups have; Slurm refuses that itself, without saying where they are.
local function tell_of_other_type(r, names)
  for _, name in ipairs(names) do
    if r.kind == nil or policy.groups[name].gpu_type == r.kind then return end
  end
  local others = names_where(function(group) return has_it(r, group) and may_use(r.account, group) end)
  local where = #others > 0 and "; they are in " .. table.concat(others, ", ") or ""
  say(r, ("%s has no GPUs of type %s%s"):format(table.concat(names, ","), r.kind, where))
end

local function is_for_development(names)
  for _, name in ipairs(names) do
    if policy.groups[name].use ~= "development" then return false end
  end
  return #names > 0
end

return { find = find, is_for_development = is_for_development, tell_of_other_type = tell_of_other_type }
