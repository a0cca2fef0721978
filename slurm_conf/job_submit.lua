-- What happens to a job as it is submitted or changed; docs/submission.md tells it to people.
--
-- slurmctld runs this under its locks: no files but those beside it, no network, no loop over jobs. Lua 5.1 to 5.4.
-- aistation_policy.lua, a table, is all that differs between clusters. slurmctld reads them again once this file's
-- time is newer. An error in here never lets a job through: it is refused, in one sentence.

local HERE = debug.getinfo(1, "S").source:match("^@(.*/)") or ""

local function read(name, ...) return assert(loadfile(HERE .. name))(...) end

local policy, request, fits, groups
local is_read, problem = pcall(function()
  policy, request = read("aistation_policy.lua"), read("aistation_request.lua")
  fits, groups = read("aistation_fit.lua", policy, request), read("aistation_groups.lua", policy, request)
end)

local REFUSED, NO_TEAM = slurm.ESLURM_ACCOUNTING_POLICY, slurm.ESLURM_INVALID_ACCOUNT
-- Up to 22.05 what is said about an update is thrown away; the names of all errors came with 23.02, as its telling did.
local TELLS_ON_UPDATE = slurm.ESLURM_INVALID_QOS ~= nil

local function tell(line) slurm.log_user("%s", line) end

local function tell_all(lines)
  for _, line in ipairs(lines) do tell(line) end
end

-- sbatch has a script; of a het job only the first part, but all have the environment, which srun and salloc have not.
local function has_script(job)
  if request.text(job.script) then return true end
  return request.given(job.het_job_offset) ~= nil and job.environment ~= nil and job.environment["PATH"] ~= nil
end

-- What becomes of it ------------------------------------------------------------------------------------------------

-- sbatch has written the request into the script's environment, where srun looks for it.
local VARIABLES = { SLURM_GPUS = "tres_per_job", SLURM_GPUS_PER_NODE = "tres_per_node",
                    SLURM_GPUS_PER_TASK = "tres_per_task", SLURM_GPUS_PER_SOCKET = "tres_per_socket",
                    SLURM_CPUS_PER_GPU = "cpus_per_tres", SLURM_MEM_PER_GPU = "mem_per_tres" }
local COUNTED = { SLURM_NTASKS = "num_tasks", SLURM_NPROCS = "num_tasks", SLURM_NTASKS_PER_NODE = "ntasks_per_node",
                  SLURM_CPUS_PER_TASK = "cpus_per_task", SLURM_NNODES = "min_nodes", SLURM_JOB_NUM_NODES = "min_nodes",
                  SLURM_MEM_PER_NODE = "min_mem_per_node", SLURM_MEM_PER_CPU = "min_mem_per_cpu" }
local WHOLE = { SLURM_TRES_PER_TASK = "tres_per_task", SLURM_TRES_BIND = "tres_bind" }

local function write_variable(environment, name, count)
  local old = environment[name]
  if old then environment[name] = (old:match("^(.*[:=])") or "") .. request.whole(count) end
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
  for name, field in pairs(WHOLE) do
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

-- salloc, and srun up to 22.05, go on with the request that they were given, and their steps then fail: they are made
-- to fit by cli_filter.lua, before they are sent, or not at all.
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
  if fits.fit(r, names) then return answer(r) end
  local is_refused = policy.over_request ~= "remind"
  local why = r.why_not or "ask for it in one way only"
  local first = is_refused and "refused: " or ""
  tell(("%sno part of this fits into %s (%s)"):format(first, table.concat(names, ","), why))
  return is_refused and REFUSED or slurm.SUCCESS
end

-- A job for a group for development runs under that QOS; also one that is moved there.
local function give_qos(r, names)
  local is_moved = r.before == nil or request.text(r.job.partition) ~= nil
  if request.text(r.job.qos) == nil and is_moved and groups.is_for_development(names) then
    r.job.qos, r.qos = "development", "development"
  end
end

-- True where the size is to be looked at: not that of a running job, nor in an update that doesn't touch it.
local function is_sized(r)
  if not (r.wants_gpu or r.wants_share or r.is_alone) then return false end
  if r.before == nil then return true end
  return (request.given(r.before.job_state) or 0) % 256 == 0 and request.is_resized(r.job)
end

-- The one model of these groups, where a quota of the user or of a team counts it: slurmctld holds such a quota only
-- against requests that name the model.
local function counted_model(r, names)
  local group = policy.groups[names[1]]
  for _, name in ipairs(names) do
    if policy.groups[name] == nil or policy.groups[name].gpu_type ~= group.gpu_type then return nil end
  end
  local types, team, seen = policy.user.types, r.account, 0
  while group do
    if types and types[group.gpu_type] then return group.gpu_type end
    if team == nil or policy.teams[team] == nil or seen > 100 then return nil end
    types, team, seen = policy.teams[team].types, policy.teams[team].parent, seen + 1
  end
end

-- Name the model in the request; a job that is moved to another group is no longer held to the one that we named.
local function name_model(r, names)
  local from, partition = {}, r.before and request.text(r.job.partition) and request.text(r.before.partition) or ""
  for name in partition:gmatch("[^,]+") do from[#from + 1] = name end
  request.name_model(r, counted_model(r, names), counted_model(r, from))
end

-- Up to 22.05.8 slurmctld takes the --prefer of an array for a --constraint, and the array waits for ever (release notes
-- of 22.05.9). A release that the table does not tell is a newer one.
local function takes_prefer_for_constraint()
  local year, month, minor = tostring(is_read and policy.release):match("^(%d+)%.(%d+)%.(%d+)")
  return year ~= nil and year * 10000 + month * 100 + minor < 220509
end
local PREFER_IS_HARD = takes_prefer_for_constraint()

local function drop_prefer(job, before)
  local is_array = request.text(job.array_inx) or (before and (request.given(before.array_job_id) or 0) > 0)
  if is_array and request.text(job.prefer) then
    job.prefer = ""
    tell(("prefer: left out (Slurm %s would let an array wait for such nodes only)"):format(policy.release))
  end
end

local function rules(job, before, partitions)
  if PREFER_IS_HARD then drop_prefer(job, before) end
  local r = request.new(job, before)
  if r.account == "" then return slurm.SUCCESS end  -- who is in no team is refused by Slurm
  local names = groups.find(r, partitions)
  tell_all(r.said)
  if r.is_barred then return NO_TEAM end
  if names == nil then return slurm.SUCCESS end
  if r.chosen then job.partition = r.chosen end
  give_qos(r, names)
  if not is_sized(r) then return slurm.SUCCESS end
  name_model(r, names)
  r.said = {}
  groups.tell_of_other_type(r, names)
  tell_all(r.said)
  return check_sizes(r, names)
end

-- Run the rules; whatever goes wrong in them, the job is refused.
local function guarded(job, before, partitions, uid)
  if uid == 0 or (is_read and policy.exempt[uid]) then return slurm.SUCCESS end
  local went_well, code = pcall(rules, job, before, partitions)
  if went_well then return code end
  slurm.log_error("job_submit.lua: %s", tostring(is_read and code or problem))
  tell("the rules of submission failed, so nothing was accepted: tell your administrator (slurmctld's log says why)")
  return slurm.ERROR
end

function slurm_job_submit(job, partitions, uid) return guarded(job, nil, partitions, uid) end

function slurm_job_modify(job, before, partitions, uid) return guarded(job, before, partitions, uid) end

return slurm.SUCCESS
