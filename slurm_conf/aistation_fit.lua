-- What of a request fits: into a node, into the group, into the quotas. Changes nothing by itself. Lua 5.1 to 5.4.
--
-- Given the table (aistation_policy.lua) and the requests (aistation_request.lua).

local policy, request = ...
local change, clamp, resize, recount = request.change, request.clamp, request.resize, request.recount
local whole, PLACES = request.whole, request.places
local PER_NODE, PER_JOB, PER_TASK, PER_SOCKET = "tres_per_node", "tres_per_job", "tres_per_task", "tres_per_socket"
local NONE = {}

local function up(number) return math.ceil(number) end

-- What a job may have: per node by the group, in all by the quotas --------------------------------------------------

local NO_MORE, ENVIRONMENT = "a node of %s has no more", "a development environment has no more"

-- The lower of two limits; its words are put together only when somebody is to read them.
local function lower(limit, count, words, ...)
  if count == nil or (limit.count and limit.count <= count) then return limit end
  return { count = count, words = words, ... }
end

local function reason(limit)
  if limit.words == nil then return nil end
  return #limit == 0 and limit.words or limit.words:format((unpack or table.unpack)(limit))
end

local function write_memory(mib)
  return mib % 1024 == 0 and whole(mib / 1024) .. "G" or whole(mib) .. "M"
end

-- Each quota that holds for the job: what it is, for whom, of what. QOS `night` may have its own instead of all
-- others, and an emergency job may be let over all.
local function each_quota(r, names, take)
  if r.qos == "emergency" and policy.over_quota then return end
  for _, name in ipairs(names) do
    local group = policy.groups[name]
    if r.qos == "night" and policy.night then
      take(policy.night.user, "a user", "at night", group.gpu_type)
      take(policy.night.team, "a team", "at night", group.gpu_type)
    else
      take(group.user, "a user", "of " .. name, group.gpu_type)
      take(group.team, "a team", "of " .. name, group.gpu_type)
      take(policy.user, "a user", "in all", group.gpu_type)
    end
  end
  if r.qos == "night" and policy.night then return end
  local team, seen = r.account, 0
  while team and policy.teams[team] and seen < 100 do
    for _, name in ipairs(names) do
      take(policy.teams[team], "team " .. team, "in all", policy.groups[name].gpu_type)
    end
    team, seen = policy.teams[team].parent, seen + 1
  end
end

local function quota_of(r, names, what, noun, write)
  local limit = {}
  write = write or whole
  each_quota(r, names, function(quota, who, where, gpu_type)
    if quota[what] then
      limit = lower(limit, quota[what], "%s may have %s %s %s", who, write(quota[what]), noun, where)
    end
    local of_type = what == "gpus" and quota.types and quota.types[gpu_type]
    if of_type then
      limit = lower(limit, of_type, "%s may have %s %s %s %s", who, whole(of_type), gpu_type, noun, where)
    end
  end)
  if r.qos == "development" then limit = lower(limit, policy.development[what], ENVIRONMENT) end
  return limit
end

local PER_NODE_CAPS = { "gpus", "cpus", "memory", "shards" }

local function shares_in(group, r)
  return r.wants_share == (group.sharing or "shard") and group.shards or 0
end

local function caps_of(r, names)
  local caps = { nodes = NONE, gpus = NONE, cpus = NONE, memory = NONE, shards = NONE, whole = 0 }
  for _, name in ipairs(names) do
    local group = policy.groups[name]
    local nodes = group.nodes - (r.without_nodes and request.common_nodes(group.names, r.without_nodes) or 0)
    caps.nodes = lower(caps.nodes, nodes, nodes < group.nodes and "%s has no others" or "%s has no more", name)
    caps.whole = math.max(caps.whole, group.gpus)
    for _, what in ipairs(PER_NODE_CAPS) do
      caps[what] = lower(caps[what], what == "shards" and shares_in(group, r) or group[what], NO_MORE, name)
    end
  end
  if r.qos == "development" then
    for _, what in ipairs(PER_NODE_CAPS) do caps[what] = lower(caps[what], policy.development[what], ENVIRONMENT) end
  end
  local nodes = quota_of(r, names, "nodes", "nodes")
  if nodes.count then caps.nodes = lower(caps.nodes, nodes.count, nodes.words, (unpack or table.unpack)(nodes)) end
  caps.name = table.concat(names, ",")
  return caps
end

-- All that limits a job of this team and QOS in these groups. It is worked out once and kept: most of what a call
-- costs, and the same for all users.
local kept, how_many = {}, 0

local function limits_of(r, names)
  local key = table.concat(names, ",") .. "|" .. r.account .. "|" .. (r.qos or "") .. "|" .. (r.wants_share or "")
  local found = kept[key]
  if found and not r.without_nodes then return found end
  found = { caps = caps_of(r, names), gpus = quota_of(r, names, "gpus", "GPUs"),
            shards = quota_of(r, names, "shards", "shares of GPUs"), cpus = quota_of(r, names, "cpus", "CPUs"),
            memory = quota_of(r, names, "memory", "memory", write_memory) }
  if r.without_nodes then return found end
  if how_many >= 2000 then kept, how_many = {}, 0 end
  kept[key], how_many = found, how_many + 1
  return found
end

-- A limit of the node, or what a quota leaves for each of so many things, whichever is less.
local function share(limit, quota, things)
  if quota.count == nil then return limit end
  return lower(limit, math.max(1, math.floor(quota.count / math.max(1, things))), reason(quota))
end

local function nodes_of(r) return math.max(1, r.sizes.min_nodes or 1) end

-- Making it fit ---------------------------------------------------------------------------------------------------

-- Nodes and GPUs on each that come nearest to the total, on as few nodes as that takes, and no fewer than are named.
local function spread(total, cap, least_nodes, most_nodes)
  local nodes, each = 0, 0
  local bound = math.min(most_nodes, math.max(least_nodes, 2 * up(total / cap)))
  for gpus = math.min(cap, total), 1, -1 do
    local count = math.min(math.floor(total / gpus), bound)
    if count >= least_nodes and count * gpus > nodes * each then nodes, each = count, gpus end
  end
  return nodes, each
end

local function keep_nodes_within(r, nodes)
  local least, most = r.sizes.min_nodes, r.sizes.max_nodes
  if least == nil or least ~= nodes then resize(r, "min_nodes", nodes) end
  if most and most ~= 0 and (most < nodes or nodes < (least or 1)) then resize(r, "max_nodes", nodes) end
end

-- The most nodes of `--nodes=1-8`: Slurm takes as many as it can get, and then holds the job for its quota, for ever.
local function keep_most_nodes_within(r, limit)
  local least, most = math.max(1, r.sizes.min_nodes or 1), r.sizes.max_nodes
  if most == nil or most == 0 or most <= limit.count or limit.count < least then return end
  change(r, "max_nodes", most, limit.count, reason(limit), "--nodes")
  r.changes[#r.changes].fits = least < limit.count and ("%d-%d"):format(least, limit.count) or whole(limit.count)
  resize(r, "max_nodes", limit.count)
end

-- The tasks of a job that gets more nodes, or fewer: as many in all, at least one on each node.
local function spread_tasks(r, before, nodes, caps)
  local each, all = r.sizes.ntasks_per_node, r.sizes.num_tasks
  if each and each > 0 then
    local fits = math.min(up(each * before / nodes), math.max(each, caps.cpus.count))
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
  if quota.count and total > quota.count and quota.count <= room then return reason(quota) end
  return total > room and reason(caps.nodes) or "the same on each node"
end

-- The most nodes that may have so many GPUs each.
local function most_nodes_of(each, caps, quota)
  local count = quota.count and math.floor(quota.count / math.max(1, each))
  return count and count < caps.nodes.count and { count = count, words = reason(quota) } or caps.nodes
end

-- As many nodes as it asks for, and on each as many GPUs; `limit` is the most that it may have in all.
local function respread(r, caps, quota, before, limit)
  local gpu, job = r.lists[PER_NODE].gpu, r.lists[PER_JOB].gpu
  local each, cap, total = gpu.count, caps.gpus.count, before * gpu.count
  local room = caps.nodes.count * math.min(cap, each)
  local nodes, fits = spread(limit, math.min(cap, each), r.named_nodes or 0, caps.nodes.count)
  if nodes == 0 then return false end
  local less = why_less(total, quota, room, caps)
  if fits ~= each then
    change(r, "gpus_per_node", each, fits, each > cap and reason(caps.gpus) or less, "--gpus-per-node")
  end
  if nodes ~= before then
    local more = nodes > before and ("so that there are %s GPUs in all"):format(whole(nodes * fits))
    change(r, "nodes", before, nodes, more or less, "--nodes")
  end
  if nodes * fits ~= total then change(r, "gpus", total, nodes * fits, less) end
  recount(r, PER_NODE, "gpu", fits)
  if job then recount(r, PER_JOB, "gpu", nodes * fits) end
  keep_nodes_within(r, nodes)
  if nodes ~= before then resize(r, "max_nodes", nodes) end  -- on more there would be more GPUs in all
  spread_tasks(r, before, nodes, caps)
  return true
end

local function fit_per_node(r, caps, quota)
  local each, job, done = r.lists[PER_NODE].gpu.count, r.lists[PER_JOB].gpu, true
  local before = job and each > 0 and math.max(1, up(job.count / each)) or math.max(1, r.sizes.min_nodes or 1)
  local total, cap = before * each, caps.gpus.count
  local limit = math.min(total, quota.count or total, caps.nodes.count * cap)
  if limit < 1 then return total == 0 end
  if each > cap or before > caps.nodes.count or total > limit then done = respread(r, caps, quota, before, limit) end
  if done then keep_most_nodes_within(r, most_nodes_of(r.lists[PER_NODE].gpu.count, caps, quota)) end
  return done
end

local function fit_per_job(r, caps, quota)
  local total, cap, most = r.lists[PER_JOB].gpu.count, caps.gpus.count, caps.nodes.count
  local named = r.named_nodes or 1
  local fits = math.min(total, quota.count or total, most * cap)
  if total > 0 and fits < named then return false end
  if fits < total then
    change(r, "gpus", total, fits, why_less(total, quota, most * cap, caps), "--gpus")
    recount(r, PER_JOB, "gpu", fits)
  end
  local least, limit = math.max(1, r.sizes.min_nodes or 1), r.sizes.max_nodes
  local needed = up(fits / cap)
  local nodes = math.max(named, math.min(least, most, math.max(1, fits)))
  if limit and limit > 0 and limit < needed then nodes = needed end
  if nodes ~= least then
    local more = nodes > least and ("so that there are %s GPUs in all"):format(whole(fits))
    change(r, "nodes", least, nodes, more or (least > most and reason(caps.nodes) or "a GPU on each"), "--nodes")
    keep_nodes_within(r, nodes)
    spread_tasks(r, least, nodes, caps)
  end
  keep_most_nodes_within(r, caps.nodes)
  return true
end

-- GPUs for each task, or socket: those of one are on one node, which has `on_node` of them.
local function fit_each(r, caps, quota, place, what, on_node)
  local gpu = r.lists[place].gpu
  clamp(r, "min_nodes", caps.nodes.count, "nodes", reason(caps.nodes), "--nodes")
  keep_most_nodes_within(r, caps.nodes)
  local by_node, by_quota = math.floor(caps.gpus.count / on_node), quota.count and math.floor(quota.count / on_node)
  local fits = math.min(gpu.count, by_node, by_quota or gpu.count)
  if gpu.count > 0 and fits < 1 then return nil end
  if fits < gpu.count then
    change(r, what, gpu.count, fits, reason(gpu.count > by_node and caps.gpus or quota), "--" .. what:gsub("_", "-"))
    recount(r, place, "gpu", fits)
    local bind = request.text(r.job.tres_bind)
    if bind and place == PER_TASK then r.set.tres_bind = bind:gsub("per_task:%d+", "per_task:" .. whole(fits)) end
  end
  return fits
end

local function fit_per_socket(r, caps, quota)
  local sockets = math.max(1, r.sizes.sockets_per_node or 1)
  local each = fit_each(r, caps, quota, PER_SOCKET, "gpus_per_socket", sockets)
  if each == nil or each == 0 then return each == 0 end
  local most = most_nodes_of(each * sockets, caps, quota)
  clamp(r, "min_nodes", most.count, "nodes", reason(most), "--nodes")
  keep_most_nodes_within(r, most)
  return true
end

local function fit_per_task(r, caps, quota)
  local each = fit_each(r, caps, quota, PER_TASK, "gpus_per_task", 1)
  if each == nil or each == 0 then return each == 0 end
  local on_node, tasks = math.floor(caps.gpus.count / each), r.sizes.num_tasks
  clamp(r, "ntasks_per_node", on_node, "ntasks_per_node", reason(caps.gpus), "--ntasks-per-node")
  if tasks == nil then return true end
  on_node = math.max(1, math.min(on_node, r.sizes.ntasks_per_node or on_node))
  local room = math.min(caps.nodes.count * on_node, quota.count and math.floor(quota.count / each) or tasks)
  clamp(r, "num_tasks", room, "ntasks", why_less(tasks * each, quota, caps.nodes.count * on_node * each, caps),
        "--ntasks")
  local least, most = r.sizes.min_nodes or 1, r.sizes.max_nodes or 0
  local needed = up(r.sizes.num_tasks / on_node)
  if (most > 0 and most < needed) or least > r.sizes.num_tasks then
    change(r, "nodes", least, needed, "where its tasks have room", "--nodes")
    keep_nodes_within(r, needed)
  end
  return r.named_nodes == nil or r.named_nodes <= r.sizes.num_tasks
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

-- GPUs that only follow from the tasks (`--ntasks-per-gpu`): fewer of them are fewer tasks.
local function fit_task_gpus(r, caps, quota)
  local room = caps.nodes.count * caps.gpus.count
  local fits = math.min(r.task_gpus, quota.count or r.task_gpus, room)
  if fits < 1 and r.task_gpus > 0 then return false end
  if fits < r.task_gpus then
    local why = why_less(r.task_gpus, quota, room, caps)
    clamp(r, "num_tasks", fits * r.sizes.ntasks_per_tres, "ntasks", why, "--ntasks")
  end
  return true
end

local function fit_places(r, caps, quota)
  local places = {}
  for _, place in ipairs(PLACES) do
    if r.lists[place].gpu then places[#places + 1] = place end
  end
  if r.task_gpus then return fit_task_gpus(r, caps, quota) end
  if #places == 0 then return true end
  local is_plain = #places == 1 or (#places == 2 and places[1] == PER_NODE and places[2] == PER_JOB)
  if r.is_mixed or not is_plain then return fits_in_every_way(r, caps, quota) end
  return FIT[places[1]](r, caps, quota)
end

local function fit_gpus(r, caps, quota)
  if fit_places(r, caps, quota) then return true end
  local named = r.named_nodes and r.named_nodes > 1 and ("it names %d nodes"):format(r.named_nodes)
  r.why_not = named or reason(quota.count and quota.count < caps.gpus.count and quota or caps.gpus)
  return false
end

local function fit_shares(r, caps, quota)
  local what = r.wants_share
  local share = what and r.lists[PER_NODE][what]
  if share == nil or r.is_mixed then return true end
  local fits = math.min(share.count, caps.shards.count or 0, quota.count or share.count)
  if fits < share.count and fits < 1 then
    r.why_not = caps.shards.count == 0 and caps.name .. " does not share its GPUs" or reason(quota)
    return false
  end
  if fits < share.count then
    local why = reason(share.count > caps.shards.count and caps.shards or quota)
    change(r, what == "shard" and "shards" or what, share.count, fits, why, "--gres=" .. what)
    recount(r, PER_NODE, what, fits)
  end
  return true
end

-- Whoever is alone on a node (--exclusive) is given all its GPUs, and counts for them.
local function fit_alone(r, caps, quota)
  if not r.is_alone then return true end
  local nodes = math.max(1, r.sizes.min_nodes or 1, r.named_nodes or 1)
  if quota.count == nil or nodes * caps.whole <= quota.count then return true end
  r.why_not = ("--exclusive takes all %s GPUs of a node; %s"):format(whole(caps.whole), reason(quota))
  return false
end

local function clamp_per_gpu(r, list, most, what, why, option, write)
  local asked = r.lists[list].gpu
  if asked == nil or asked.count <= most then return end
  change(r, what, asked.count, most, why, option, write)
  recount(r, list, "gpu", most)
end

-- The most nodes that it may be spread over.
local function most_nodes(r, caps)
  local nodes = r.sizes.max_nodes or 0
  return math.max(1, nodes > 0 and math.min(nodes, caps.nodes.count) or caps.nodes.count)
end

-- Tasks that a node must take, however well they are spread.
local function tasks_on_node(r, caps)
  return math.max(1, r.sizes.ntasks_per_node or 1, up((r.sizes.num_tasks or 1) / most_nodes(r, caps)))
end

-- GPUs that a node must give, however well they are spread.
local function gpus_on_node(r, caps)
  local node, job, task = r.lists[PER_NODE].gpu, r.lists[PER_JOB].gpu, r.lists[PER_TASK].gpu
  if node then return node.count end
  if job then return up(job.count / most_nodes(r, caps)) end
  return task and task.count * tasks_on_node(r, caps) or 1
end

local function gpus_in_all(r)
  local node, job, task = r.lists[PER_NODE].gpu, r.lists[PER_JOB].gpu, r.lists[PER_TASK].gpu
  if job then return job.count end
  if node then return node.count * nodes_of(r) end
  return task and task.count * math.max(1, r.sizes.num_tasks or 1) or 1
end

local function fit_tasks(r, caps, quota)
  local on_node = share(caps.cpus, quota, nodes_of(r))
  clamp(r, "ntasks_per_node", on_node.count, "ntasks_per_node", reason(on_node), "--ntasks-per-node")
  local room = share({ count = caps.nodes.count * caps.cpus.count, words = reason(caps.nodes) }, quota, 1)
  local each_node = r.sizes.ntasks_per_node
  if r.set.ntasks_per_node then room = lower(room, each_node * most_nodes(r, caps), reason(on_node)) end
  if r.task_gpus == nil then clamp(r, "num_tasks", room.count, "ntasks", reason(room), "--ntasks") end
  local tasks = r.sizes.num_tasks or math.max(1, r.sizes.ntasks_per_node or 1) * nodes_of(r)
  local each = { count = math.max(1, math.floor(caps.cpus.count / tasks_on_node(r, caps))), words = reason(caps.cpus) }
  each = share(each, quota, tasks)
  clamp(r, "cpus_per_task", each.count, "cpus_per_task", reason(each), "--cpus-per-task")
end

local function fit_cpus(r, caps, gpus, quota)
  local sizes, cpus = r.sizes, share(caps.cpus, quota, nodes_of(r))
  local is_of_task = sizes.pn_min_cpus and sizes.pn_min_cpus == sizes.cpus_per_task  -- from --cpus-per-task
  if not is_of_task then clamp(r, "pn_min_cpus", cpus.count, "cpus_per_node", reason(cpus), "--mincpus") end
  fit_tasks(r, caps, quota)
  if is_of_task and r.set.cpus_per_task then resize(r, "pn_min_cpus", sizes.cpus_per_task) end
  local asked = r.lists.cpus_per_tres.gpu and r.lists.cpus_per_tres.gpu.count
  local each = { count = math.max(1, math.floor(caps.cpus.count / gpus)), words = reason(caps.cpus) }
  each = share(each, quota, gpus_in_all(r))
  clamp_per_gpu(r, "cpus_per_tres", each.count, "cpus_per_gpu", reason(each), "--cpus-per-gpu")
  if sizes.min_cpus and r.set.cpus_per_tres then  -- from 23.02 on sbatch counts these CPUs too
    resize(r, "min_cpus", math.max(1, math.floor(sizes.min_cpus * r.lists.cpus_per_tres.gpu.count / asked)))
  elseif sizes.min_cpus and (r.set.num_tasks or r.set.cpus_per_task) then
    resize(r, "min_cpus", math.max(1, sizes.num_tasks or 1) * math.max(1, sizes.cpus_per_task or 1))
  end
end

-- A job that doesn't say how many CPUs a task has gets those that go with its GPUs (DefCpuPerGPU).
local function fit_memory(r, caps, quota, gpus, cpus_of_gpu)
  local memory = share(caps.memory, quota, nodes_of(r))
  local sizes, tasks = r.sizes, math.max(1, r.sizes.ntasks_per_node or 1)
  clamp(r, "min_mem_per_node", memory.count, "memory_per_node", reason(memory), "--mem", write_memory)
  if sizes.min_mem_per_node == 0 and memory.count < caps.memory.count then  -- --mem=0 is all that the node has
    local function write(mib) return mib == 0 and "all" or write_memory(mib) end
    change(r, "memory_per_node", 0, memory.count, reason(memory), "--mem", write)
    resize(r, "min_mem_per_node", memory.count)
  end
  local with_gpus = (r.lists.cpus_per_tres.gpu and r.lists.cpus_per_tres.gpu.count or cpus_of_gpu) * gpus
  local busy = sizes.cpus_per_task and sizes.cpus_per_task * tasks or math.max(tasks, with_gpus)
  local each = math.floor(memory.count / math.max(1, sizes.pn_min_cpus or 1, busy))
  clamp(r, "min_mem_per_cpu", math.max(1, each), "memory_per_cpu", reason(memory), "--mem-per-cpu", write_memory)
  each = math.floor(memory.count / gpus)
  clamp_per_gpu(r, "mem_per_tres", each, "memory_per_gpu", reason(memory), "--mem-per-gpu", write_memory)
end

-- True where the request fits by now, as `r.changes` says; false where no part of it can, as `r.why_not` says.
local function fit(r, names)
  local limits = limits_of(r, names)
  local caps = limits.caps
  if not fit_alone(r, caps, limits.gpus) then return false end
  if not (r.wants_gpu or r.wants_share) then return true end
  if not (fit_gpus(r, caps, limits.gpus) and fit_shares(r, caps, limits.shards)) then return false end
  local gpus = math.max(1, math.min(gpus_on_node(r, caps), caps.cpus.count, caps.memory.count))
  fit_cpus(r, caps, gpus, limits.cpus)
  local cpus_of_gpu = r.wants_gpu and math.floor(caps.cpus.count / math.max(1, caps.gpus.count)) or 0
  fit_memory(r, caps, limits.memory, gpus, cpus_of_gpu)
  return true
end

return { fit = fit }
