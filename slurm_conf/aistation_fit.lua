-- What a job asks for, and what of it fits; job_submit.lua decides what becomes of it. Changes nothing by itself.
--
-- A request `r` is what the job says and, where an update is silent, what it said before. `r.changes` are the lines
-- that people read, `r.set` the fields as Slurm is to get them. Lua 5.1 to 5.4.

local PER_NODE, PER_JOB, PER_TASK, PER_SOCKET = "tres_per_node", "tres_per_job", "tres_per_task", "tres_per_socket"
local PLACES = { PER_NODE, PER_JOB, PER_TASK, PER_SOCKET }
local PER_GPU = { "cpus_per_tres", "mem_per_tres" }
local SIZES = { "min_nodes", "max_nodes", "num_tasks", "ntasks_per_node", "cpus_per_task", "pn_min_cpus", "min_cpus",
                "min_mem_per_node", "min_mem_per_cpu" }
local RECORDED = { min_nodes = true, max_nodes = true, min_mem_per_node = true, min_mem_per_cpu = true,
                   pn_min_cpus = true }
local policy

local function whole(number) return string.format("%.0f", number) end

local function up(number) return math.ceil(number) end

-- A number that somebody gave; Slurm says "not given" by the largest numbers of 16, 32 and 64 bits.
local function given(value)
  if type(value) ~= "number" or value ~= value or value < 0 then return nil end
  if value == 65534 or value == 65535 or value >= 4294967294 then return nil end
  return value
end

local function text(value)
  if type(value) == "string" and value ~= "" then return value end
end

-- Lists of GPUs -------------------------------------------------------------------------------------------------

local SUFFIX = { [""] = 1, k = 1024, m = 1024 ^ 2, g = 1024 ^ 3, t = 1024 ^ 4, p = 1024 ^ 5 }

-- One word of a list: `gres:gpu:2` (22.05), `gres/gpu:v100:2` (from 23.02), `gres/gpu=2`, `gpu`.
local function read_word(word)
  local start, name, rest = word:match("^%s*(g?r?e?s?[:/]?)(%a[%w_]*)(.*)$")
  if start == nil or (start ~= "" and not start:match("^gres[:/]$")) then
    start, name, rest = "", word:match("^%s*(%a[%w_]*)(.*)$")
  end
  if name ~= "gpu" and name ~= "shard" then return nil end
  local kind, sign, count, suffix = rest:match("^:?(.-)([:=])(%d+)([kKmMgGtTpP]?)%s*$")
  if count == nil then kind, sign, count, suffix = rest:match("^:?(.-)%s*$"), ":", "1", "" end
  return { name = name, kind = text(kind), count = tonumber(count) * SUFFIX[suffix:lower()],
           head = start .. name .. (text(kind) and ":" .. kind or "") .. sign }
end

local function read_list(list)
  local found = { words = {} }
  for word in (list or ""):gmatch("[^,]+") do
    local read = read_word(word)
    if read and read.count > 0 then  -- --gpus=0 asks for none
      found.is_mixed = found.is_mixed or found[read.name] ~= nil
      found[read.name] = read
    end
    found.words[#found.words + 1] = read or word
  end
  return found
end

local function write_list(list)
  local words = {}
  for _, each in ipairs(list.words) do
    words[#words + 1] = type(each) == "table" and each.head .. whole(each.count) or each
  end
  return table.concat(words, ",")
end

-- The request: what the job says, and where an update is silent, what it said before ------------------------------

local function new_request(job, before)
  local r = { job = job, before = before, changes = {}, set = {}, lists = {}, sizes = {} }
  r.account = text(job.account) or (before and text(before.account)) or text(job.default_account) or ""
  r.account = r.account:lower()
  r.partition = text(job.partition) or (before and text(before.partition))
  r.qos = text(job.qos) or (before and text(before.qos))
  r.user = text(job.user_name) or (before and text(before.user_name)) or ""
  for _, each in ipairs(PER_GPU) do r.lists[each] = read_list(text(job[each]) or (before and text(before[each]))) end
  for _, place in ipairs(PLACES) do
    r.lists[place] = read_list(text(job[place]) or (before and text(before[place])))
    if r.lists[place].gpu then r.wants_gpu, r.kind = true, r.kind or r.lists[place].gpu.kind end
    if r.lists[place].shard then r.wants_shard = true end
    r.is_mixed = r.is_mixed or r.lists[place].is_mixed
  end
  for _, name in ipairs(SIZES) do
    r.sizes[name] = given(job[name]) or (before and RECORDED[name] and given(before[name])) or nil
  end
  return r
end

local function is_resized(job)
  for _, names in ipairs({ PLACES, PER_GPU, SIZES }) do
    for _, name in ipairs(names) do
      if text(job[name]) or given(job[name]) then return true end
    end
  end
  return text(job.partition) ~= nil
end

-- Note that something becomes another number: what the user reads, what Slurm is given, what the script finds.
local function change(r, what, asked, fits, why, option, write)
  write = write or whole
  r.changes[#r.changes + 1] = { option = option, fits = write(fits),
                                line = ("%s: %s -> %s (%s)"):format(what, write(asked), write(fits), why) }
end

local function resize(r, name, value)
  r.sizes[name], r.set[name] = value, value
end

local function clamp(r, name, most, what, why, option, write)
  local asked = r.sizes[name]
  if asked == nil or asked <= most then return end
  change(r, what, asked, most, why, option, write)
  resize(r, name, most)
end

local function recount(r, place, name, count)
  r.lists[place][name].count = count
  r.set[place] = write_list(r.lists[place])
end

-- What a job may have: per node by the group, in all by the quotas --------------------------------------------------

local function lower(limit, count, why)
  if count and (limit.count == nil or count < limit.count) then return { count = count, why = why } end
  return limit
end

local function caps_of(r, names)
  local caps = { nodes = {}, gpus = {}, cpus = {}, memory = {}, shards = {} }
  for _, name in ipairs(names) do
    local group = policy.groups[name]
    caps.nodes = lower(caps.nodes, group.nodes, name .. " has no more")
    for _, what in ipairs({ "gpus", "cpus", "memory", "shards" }) do
      caps[what] = lower(caps[what], group[what], ("a node of %s has no more"):format(name))
    end
  end
  if (r.qos or ""):lower() == "development" then
    for _, what in ipairs({ "gpus", "cpus", "memory", "shards" }) do
      caps[what] = lower(caps[what], policy.development[what], "a development environment has no more")
    end
  end
  caps.name = table.concat(names, ",")
  return caps
end

local function quota_of(r, names, what, noun)
  local limit = {}
  local function take(who, count, where)
    if count then limit = lower(limit, count, ("%s may have %s %s %s"):format(who, whole(count), noun, where)) end
  end
  for _, name in ipairs(names) do
    take("a user", policy.groups[name].user[what], "of " .. name)
    take("a team", policy.groups[name].team[what], "of " .. name)
  end
  take("a user", policy.user[what], "in all")
  take("team " .. r.account, (policy.teams[r.account] or {})[what], "in all")
  if (r.qos or ""):lower() == "development" then
    limit = lower(limit, policy.development[what], "a development environment has no more")
  end
  return limit
end

-- Making it fit ---------------------------------------------------------------------------------------------------

-- Nodes and GPUs on each that come nearest to the total, on as few nodes as that takes.
local function spread(total, cap, most_nodes)
  local nodes, each = 0, 0
  local bound = math.min(most_nodes, 2 * up(total / cap))
  for gpus = math.min(cap, total), 1, -1 do
    local count = math.min(math.floor(total / gpus), bound)
    if count * gpus > nodes * each then nodes, each = count, gpus end
  end
  return nodes, each
end

local function keep_nodes_within(r, nodes)
  local least, most = r.sizes.min_nodes, r.sizes.max_nodes
  if least == nil or least ~= nodes then resize(r, "min_nodes", nodes) end
  if most and most ~= 0 and (most < nodes or nodes < (least or 1)) then resize(r, "max_nodes", nodes) end
end

-- The tasks of a job that gets more nodes, or fewer: as many in all, at least one on each node.
local function spread_tasks(r, before, nodes)
  local each, all = r.sizes.ntasks_per_node, r.sizes.num_tasks
  if each and each > 0 then
    local fits = up(each * before / nodes)
    if fits ~= each then
      change(r, "ntasks_per_node", each, fits, "as many in all", "--ntasks-per-node")
      resize(r, "ntasks_per_node", fits)
    end
    if all then resize(r, "num_tasks", fits * nodes) end
  elseif all and all > 0 and all < nodes then
    change(r, "ntasks", all, nodes, "one on each node", "--ntasks")
    resize(r, "num_tasks", nodes)
  end
end

-- Why there are fewer GPUs in all; `room` is what the group has for such a job.
local function why_less(total, quota, room, caps)
  if quota.count and total > quota.count and quota.count <= room then return quota.why end
  return total > room and caps.nodes.why or "the same on each node"
end

local function fit_per_node(r, caps, quota)
  local each, job = r.lists[PER_NODE].gpu.count, r.lists[PER_JOB].gpu
  local before = job and each > 0 and math.max(1, up(job.count / each)) or math.max(1, r.sizes.min_nodes or 1)
  local total, cap = before * each, caps.gpus.count
  local room = caps.nodes.count * math.min(cap, each)
  local limit = math.min(total, quota.count or total, caps.nodes.count * cap)
  if each <= cap and before <= caps.nodes.count and total <= limit then return true end
  if limit < 1 then return false end
  local nodes, fits = spread(limit, math.min(cap, each), caps.nodes.count)
  if fits ~= each then
    local why = each > cap and caps.gpus.why or why_less(total, quota, room, caps)
    change(r, "gpus_per_node", each, fits, why, "--gpus-per-node")
  end
  if nodes ~= before then
    local why = nodes > before and ("so that there are %s GPUs in all"):format(whole(nodes * fits))
    change(r, "nodes", before, nodes, why or why_less(total, quota, room, caps), "--nodes")
  end
  if nodes * fits ~= total then change(r, "gpus", total, nodes * fits, why_less(total, quota, room, caps)) end
  recount(r, PER_NODE, "gpu", fits)
  if job then recount(r, PER_JOB, "gpu", nodes * fits) end
  keep_nodes_within(r, nodes)
  spread_tasks(r, before, nodes)
  return true
end

local function fit_per_job(r, caps, quota)
  local total, cap, most = r.lists[PER_JOB].gpu.count, caps.gpus.count, caps.nodes.count
  local fits = math.min(total, quota.count or total, most * cap)
  if total > 0 and fits < 1 then return false end
  if fits < total then
    change(r, "gpus", total, fits, why_less(total, quota, most * cap, caps), "--gpus")
    recount(r, PER_JOB, "gpu", fits)
  end
  local least, limit = math.max(1, r.sizes.min_nodes or 1), r.sizes.max_nodes
  local needed = up(fits / cap)
  local nodes = math.max(1, math.min(least, most, math.max(1, fits)))
  if limit and limit > 0 and limit < needed then nodes = needed end
  if nodes ~= least then
    local why = nodes > least and ("so that there are %s GPUs in all"):format(whole(fits))
    change(r, "nodes", least, nodes, why or (least > most and caps.nodes.why or "a GPU on each"), "--nodes")
    keep_nodes_within(r, nodes)
    spread_tasks(r, least, nodes)
  end
  return true
end

-- GPUs for each task, or socket: a task's GPUs are on one node.
local function fit_each(r, caps, quota, place, what)
  local gpu = r.lists[place].gpu
  clamp(r, "min_nodes", caps.nodes.count, "nodes", caps.nodes.why, "--nodes")
  local fits = math.min(gpu.count, caps.gpus.count, quota.count or gpu.count)
  if gpu.count > 0 and fits < 1 then return nil end
  if fits < gpu.count then
    local why = gpu.count > caps.gpus.count and caps.gpus.why or quota.why
    change(r, what, gpu.count, fits, why, "--" .. what:gsub("_", "-"))
    recount(r, place, "gpu", fits)
    local bind = text(r.job.tres_bind)
    if bind and place == PER_TASK then r.set.tres_bind = bind:gsub("per_task:%d+", "per_task:" .. whole(fits)) end
  end
  return fits
end

local function fit_per_socket(r, caps, quota)
  return fit_each(r, caps, quota, PER_SOCKET, "gpus_per_socket") ~= nil
end

local function fit_per_task(r, caps, quota)
  local each = fit_each(r, caps, quota, PER_TASK, "gpus_per_task")
  if each == nil or each == 0 then return each == 0 end
  local on_node, tasks = math.floor(caps.gpus.count / each), r.sizes.num_tasks
  clamp(r, "ntasks_per_node", on_node, "ntasks_per_node", caps.gpus.why, "--ntasks-per-node")
  if tasks == nil then return true end
  on_node = math.max(1, math.min(on_node, r.sizes.ntasks_per_node or on_node))
  local room = math.min(caps.nodes.count * on_node, quota.count and math.floor(quota.count / each) or tasks)
  local why = why_less(tasks * each, quota, caps.nodes.count * on_node * each, caps)
  clamp(r, "num_tasks", room, "ntasks", why, "--ntasks")
  local least, most = r.sizes.min_nodes or 1, r.sizes.max_nodes or 0
  local needed = up(r.sizes.num_tasks / on_node)
  if (most > 0 and most < needed) or least > r.sizes.num_tasks then
    change(r, "nodes", least, needed, "where its tasks have room", "--nodes")
    keep_nodes_within(r, needed)
  end
  return true
end

local FIT = { [PER_NODE] = fit_per_node, [PER_JOB] = fit_per_job, [PER_TASK] = fit_per_task,
              [PER_SOCKET] = fit_per_socket }

-- Asked for in two ways at once: too large by any of them is too much to guess at.
local function fits_in_every_way(r, caps, quota)
  for _, place in ipairs(PLACES) do
    local gpu = r.lists[place].gpu
    local cap = place == PER_JOB and caps.nodes.count * caps.gpus.count or caps.gpus.count
    if gpu and gpu.count > math.min(cap, quota.count or cap) then return false end
  end
  return true
end

local function fit_gpus(r, names, caps)
  local quota, places = quota_of(r, names, "gpus", "GPUs"), {}
  for _, place in ipairs(PLACES) do
    if r.lists[place].gpu then places[#places + 1] = place end
  end
  if #places == 0 then return true end
  local is_plain = #places == 1 or (#places == 2 and places[1] == PER_NODE and places[2] == PER_JOB)
  local done
  if r.is_mixed or not is_plain then done = fits_in_every_way(r, caps, quota)
  else done = FIT[places[1]](r, caps, quota) end
  if not done then r.why_not = quota.why or caps.gpus.why end
  return done
end

local function fit_shards(r, names, caps)
  local quota, shard = quota_of(r, names, "shards", "shares of GPUs"), r.lists[PER_NODE].shard
  if shard == nil or r.is_mixed then return true end
  local fits = math.min(shard.count, caps.shards.count or 0, quota.count or shard.count)
  if fits < shard.count and fits < 1 then
    r.why_not = caps.shards.count == 0 and caps.name .. " does not share its GPUs" or quota.why
    return false
  end
  if fits < shard.count then
    local why = shard.count > caps.shards.count and caps.shards.why or quota.why
    change(r, "shards", shard.count, fits, why, "--gres=shard")
    recount(r, PER_NODE, "shard", fits)
  end
  return true
end

local function write_memory(mib)
  return mib % 1024 == 0 and whole(mib / 1024) .. "G" or whole(mib) .. "M"
end

local function clamp_per_gpu(r, list, most, what, why, option, write)
  local asked = r.lists[list].gpu
  if asked == nil or asked.count <= most then return end
  change(r, what, asked.count, most, why, option, write)
  recount(r, list, "gpu", most)
end

-- How many GPUs a node has to give to the job, as far as that is certain.
local function gpus_on_node(r)
  local node, job, task = r.lists[PER_NODE].gpu, r.lists[PER_JOB].gpu, r.lists[PER_TASK].gpu
  if node then return node.count end
  if job then
    local nodes = r.sizes.max_nodes or 0
    return nodes > 0 and up(job.count / nodes) or 1
  end
  return task and task.count * math.max(1, r.sizes.ntasks_per_node or 1) or 1
end

local function fit_cpus(r, cpus, gpus)
  local sizes = r.sizes
  if sizes.pn_min_cpus and sizes.pn_min_cpus ~= sizes.cpus_per_task then  -- Slurm has it from --cpus-per-task otherwise
    clamp(r, "pn_min_cpus", cpus.count, "cpus_per_node", cpus.why, "--mincpus")
  end
  clamp(r, "ntasks_per_node", cpus.count, "ntasks_per_node", cpus.why, "--ntasks-per-node")
  local each = math.floor(cpus.count / math.max(1, sizes.ntasks_per_node or 1))
  clamp(r, "cpus_per_task", each, "cpus_per_task", cpus.why, "--cpus-per-task")
  if sizes.pn_min_cpus and sizes.pn_min_cpus > cpus.count then resize(r, "pn_min_cpus", cpus.count) end
  local asked = r.lists.cpus_per_tres.gpu and r.lists.cpus_per_tres.gpu.count
  clamp_per_gpu(r, "cpus_per_tres", math.floor(cpus.count / gpus), "cpus_per_gpu", cpus.why, "--cpus-per-gpu")
  if sizes.min_cpus and r.set.cpus_per_tres then  -- from 23.02 on sbatch counts these CPUs too
    resize(r, "min_cpus", math.max(1, math.floor(sizes.min_cpus * r.lists.cpus_per_tres.gpu.count / asked)))
  elseif sizes.min_cpus and (r.set.num_tasks or r.set.cpus_per_task) then
    resize(r, "min_cpus", math.max(1, sizes.num_tasks or 1) * math.max(1, sizes.cpus_per_task or 1))
  end
end

-- A job that doesn't say how many CPUs a task has gets those that go with its GPUs (DefCpuPerGPU).
local function fit_memory(r, memory, gpus, share)
  local sizes, tasks = r.sizes, math.max(1, r.sizes.ntasks_per_node or 1)
  clamp(r, "min_mem_per_node", memory.count, "memory_per_node", memory.why, "--mem", write_memory)
  local with_gpus = (r.lists.cpus_per_tres.gpu and r.lists.cpus_per_tres.gpu.count or share) * gpus
  local busy = sizes.cpus_per_task and sizes.cpus_per_task * tasks or math.max(tasks, with_gpus)
  local each = math.floor(memory.count / math.max(1, sizes.pn_min_cpus or 1, busy))
  clamp(r, "min_mem_per_cpu", math.max(1, each), "memory_per_cpu", memory.why, "--mem-per-cpu", write_memory)
  each = math.floor(memory.count / gpus)
  clamp_per_gpu(r, "mem_per_tres", each, "memory_per_gpu", memory.why, "--mem-per-gpu", write_memory)
end

-- True where the request fits by now, as `r.changes` says; false where no part of it can, as `r.why_not` says.
local function fit(r, names, table_of_policy)
  policy = table_of_policy
  local caps = caps_of(r, names)
  if not (fit_gpus(r, names, caps) and fit_shards(r, names, caps)) then return false end
  local gpus = math.max(1, math.min(gpus_on_node(r), caps.cpus.count, caps.memory.count))
  fit_cpus(r, caps.cpus, gpus)
  fit_memory(r, caps.memory, gpus, r.wants_gpu and math.floor(caps.cpus.count / math.max(1, caps.gpus.count)) or 0)
  return true
end

return { fit = fit, given = given, is_resized = is_resized, lists = PLACES, per_gpu = PER_GPU, request = new_request,
         text = text, whole = whole }
