-- What happens to a job as it is submitted or changed; docs/submission.md tells it to people.
--
-- slurmctld runs this under its locks: no files but the two beside it, no network, no loop over jobs. Lua 5.1 to 5.4.
-- aistation_policy.lua, a table, is all that differs between clusters. slurmctld reads them again once this file's
-- time is newer. An error in here never lets a job through: it is refused, in one sentence.

local HERE = debug.getinfo(1, "S").source:match("^@(.*/)") or ""
local is_read, fits, policy = pcall(function()
  return dofile(HERE .. "aistation_fit.lua"), dofile(HERE .. "aistation_policy.lua")
end)
local given, text, whole
if is_read then given, text, whole = fits.given, fits.text, fits.whole end

local REFUSED, NO_TEAM = slurm.ESLURM_ACCOUNTING_POLICY, slurm.ESLURM_INVALID_ACCOUNT
-- Up to 22.05 what is said about an update is thrown away; the names of all errors came with 23.02, as its telling did.
local TELLS_ON_UPDATE = slurm.ESLURM_INVALID_QOS ~= nil

local function tell(line) slurm.log_user("%s", line) end

local function has_script(job)
  if text(job.script) then return true end
  return given(job.het_job_offset) ~= nil and job.environment ~= nil and job.environment["PATH"] ~= nil
end

-- Groups ----------------------------------------------------------------------------------------------------------

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
  return not r.wants_shard or group.shards > 0
end

local function suits(r, group)
  local is_development = (r.qos or ""):lower() == "development"
  if is_development then return group.use ~= "training" end
  return group.use ~= "development" or (r.wants_shard and r.qos == nil)
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
    tell(("team %s may not use %s (%s may)"):format(r.account, name, teams_of(policy.groups[name])))
  end
  tell(#mine > 0 and "it may use: " .. table.concat(mine, ", ") or "there is no group that it may use")
  return nil, NO_TEAM
end

-- The groups that the job names; nil where one is not ours: the site's own partitions are the site's business.
local function named_groups(r)
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
local function best_of(r, names)
  local best, rank
  for _, name in ipairs(names) do
    local group = policy.groups[name]
    local cost = (name == policy.default_group and 0 or 1) + (group.use == "development" and 4 or 0)
    if not r.wants_shard and group.shards > 0 then cost = cost + 2 end
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
  tell(("no group has GPUs of type %s; there are %s"):format(r.kind, table.concat(types, ", ")))
  return nil
end

-- The group for a job that names none; nil where that is not for us to say.
local function chosen_group(r, partitions)
  if policy.default_group == nil and r.kind == nil and site_has_default(partitions) then return nil end
  local function is_open(group) return has_it(r, group) and may_use(r.account, group) end
  local fitting = names_where(function(group) return has_it(r, group) end)
  if #fitting == 0 then return tell_of_types(r, partitions) end
  local allowed = names_where(is_open)
  if #allowed == 0 then return not_allowed(r, fitting) end
  local suiting = names_where(function(group) return is_open(group) and suits(r, group) end)
  local name = best_of(r, #suiting > 0 and suiting or allowed)
  if name ~= policy.default_group then
    r.job.partition = name
    local why = r.kind and ("its GPUs are " .. r.kind) or r.wants_shard and "its GPUs are shared"
    tell(("partition: none -> %s (%s)"):format(name, why or ("team " .. r.account .. " may use it")))
  end
  return { name }
end

-- What becomes of it ------------------------------------------------------------------------------------------------

-- sbatch has written the request into the script's environment, where srun looks for it.
local VARIABLES = { SLURM_GPUS = "tres_per_job", SLURM_GPUS_PER_NODE = "tres_per_node",
                    SLURM_GPUS_PER_TASK = "tres_per_task", SLURM_GPUS_PER_SOCKET = "tres_per_socket",
                    SLURM_CPUS_PER_GPU = "cpus_per_tres", SLURM_MEM_PER_GPU = "mem_per_tres" }
local COUNTED = { SLURM_NTASKS = "num_tasks", SLURM_NPROCS = "num_tasks", SLURM_NTASKS_PER_NODE = "ntasks_per_node",
                  SLURM_CPUS_PER_TASK = "cpus_per_task", SLURM_NNODES = "min_nodes", SLURM_JOB_NUM_NODES = "min_nodes",
                  SLURM_MEM_PER_NODE = "min_mem_per_node", SLURM_MEM_PER_CPU = "min_mem_per_cpu" }

local function write_variable(environment, name, count)
  local old = environment[name]
  if old then environment[name] = (old:match("^(.*[:=])") or "") .. whole(count) end
end

local function write_environment(r)
  local environment = r.job.environment
  if r.before or environment == nil then return end
  for name, list in pairs(VARIABLES) do
    if r.set[list] and r.lists[list].gpu then write_variable(environment, name, r.lists[list].gpu.count) end
  end
  for name, size in pairs(COUNTED) do
    if r.set[size] then write_variable(environment, name, r.set[size]) end
  end
  for name, field in pairs({ SLURM_TRES_PER_TASK = "tres_per_task", SLURM_TRES_BIND = "tres_bind" }) do
    if r.set[field] and environment[name] then environment[name] = r.set[field] end
  end
end

local function adjust(r)
  for name, value in pairs(r.set) do r.job[name] = value end
  write_environment(r)
  for _, each in ipairs(r.changes) do tell(each.line) end
  return slurm.SUCCESS
end

local function advise(r, first)
  local options = {}
  tell(first)
  for _, each in ipairs(r.changes) do
    tell(each.line)
    if each.option then
      options[#options + 1] = each.option .. (each.option:match("^--gres=") and ":" or "=") .. each.fits
    end
  end
  tell("ask for it so: " .. table.concat(options, " "))
end

-- salloc, and srun up to 22.05, go on with the request that they were given, and their steps then fail.
local function answer(r)
  if #r.changes == 0 then return slurm.SUCCESS end
  local how = policy.over_request
  if how == "remind" then
    advise(r, "this is more than fits, and is left as it is; what would fit:")
    return slurm.SUCCESS
  end
  local can_adjust = r.before and TELLS_ON_UPDATE or not r.before and has_script(r.job)
  if how == "adjust" and can_adjust then return adjust(r) end
  advise(r, "refused, this is more than fits; what would fit:")
  return REFUSED
end

local function check_sizes(r, names)
  if fits.fit(r, names, policy) then return answer(r) end
  local is_refused = policy.over_request ~= "remind"
  local why = r.why_not or "ask for it in one way only"
  local first = is_refused and "refused: " or ""
  tell(("%sno part of this fits into %s (%s)"):format(first, table.concat(names, ","), why))
  return is_refused and REFUSED or slurm.SUCCESS
end

-- GPUs of another type than the named groups have; Slurm refuses that itself, without saying where they are.
local function tell_of_other_type(r, names)
  for _, name in ipairs(names) do
    if r.kind == nil or policy.groups[name].gpu_type == r.kind then return end
  end
  local others = names_where(function(group) return has_it(r, group) and may_use(r.account, group) end)
  local where = #others > 0 and "; they are in " .. table.concat(others, ", ") or ""
  tell(("%s has no GPUs of type %s%s"):format(table.concat(names, ","), r.kind, where))
end

local function is_for_development(names)
  for _, name in ipairs(names) do
    if policy.groups[name].use ~= "development" then return false end
  end
  return #names > 0
end

local function rules(job, before, partitions)
  local r = fits.request(job, before)
  if r.account == "" then return slurm.SUCCESS end  -- who is in no team is refused by Slurm
  local wants = r.wants_gpu or r.wants_shard
  local names, code
  if r.partition then names, code = named_groups(r)
  elseif wants then names, code = chosen_group(r, partitions) end
  if names == nil then return code or slurm.SUCCESS end
  if text(job.qos) == nil and (before == nil or text(job.partition)) and is_for_development(names) then
    job.qos, r.qos = "development", "development"
  end
  local is_waiting = before == nil or (given(before.job_state) or 0) % 256 == 0
  if not wants or not is_waiting or (before and not fits.is_resized(job)) then return slurm.SUCCESS end
  tell_of_other_type(r, names)
  return check_sizes(r, names)
end

-- Run the rules; whatever goes wrong in them, the job is refused.
local function guarded(job, before, partitions, uid)
  if uid == 0 or (is_read and policy.exempt[uid]) then return slurm.SUCCESS end
  local went_well, code = pcall(rules, job, before, partitions)
  if went_well then return code end
  slurm.log_error("job_submit.lua: %s", tostring(is_read and code or fits))
  tell("the rules of submission failed, so nothing was accepted: tell your administrator (slurmctld's log says why)")
  return slurm.ERROR
end

function slurm_job_submit(job, partitions, uid) return guarded(job, nil, partitions, uid) end

function slurm_job_modify(job, before, partitions, uid) return guarded(job, before, partitions, uid) end

return slurm.SUCCESS
