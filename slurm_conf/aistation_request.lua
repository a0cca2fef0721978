-- What a job asks for, read once out of what Slurm says of it, and what of it is to become another number.
--
-- A request `r` is what the job says and, where an update is silent, what it said before. `r.changes` are the lines
-- that people read, `r.set` the fields as Slurm is to get them. Changes nothing by itself. Lua 5.1 to 5.4.

local PER_NODE, PER_JOB, PER_TASK, PER_SOCKET = "tres_per_node", "tres_per_job", "tres_per_task", "tres_per_socket"
local PLACES = { PER_NODE, PER_JOB, PER_TASK, PER_SOCKET }
local PER_GPU = { "cpus_per_tres", "mem_per_tres" }
local SIZES = { "min_nodes", "max_nodes", "num_tasks", "ntasks_per_node", "ntasks_per_tres", "cpus_per_task",
                "pn_min_cpus", "min_cpus", "min_mem_per_node", "min_mem_per_cpu", "sockets_per_node" }
local RECORDED = { min_nodes = true, max_nodes = true, min_mem_per_node = true, min_mem_per_cpu = true,
                   pn_min_cpus = true }
local COUNTED = { gpu = true, shard = true, mps = true }
local LONG = 10000  -- a list of nodes as long as that is not looked into

local function whole(number) return string.format("%.0f", number) end

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
local NOTHING = { words = {} }  -- what most lists of most jobs say: one table for all, that nobody writes to

-- One word of a list: `gres:gpu:2` (22.05), `gres/gpu:v100:2` (from 23.02), `gres/gpu=2`, `gpu`.
local function read_word(word)
  local start, name, rest = word:match("^%s*(g?r?e?s?[:/]?)(%a[%w_]*)(.*)$")
  if start == nil or (start ~= "" and not start:match("^gres[:/]$")) then
    start, name, rest = "", word:match("^%s*(%a[%w_]*)(.*)$")
  end
  if not COUNTED[name] then return nil end
  local kind, sign, count, suffix = rest:match("^:?(.-)([:=])(%d+)([kKmMgGtTpP]?)%s*$")
  if count == nil then kind, sign, count, suffix = rest:match("^:?(.-)%s*$"), ":", "1", "" end
  return { name = name, kind = text(kind), count = tonumber(count) * SUFFIX[suffix:lower()],
           head = start .. name .. (text(kind) and ":" .. kind or "") .. sign }
end

local function read_list(list)
  if list == nil then return NOTHING end
  local found = { words = {} }
  for word in list:gmatch("[^,]+") do
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

-- Lists of nodes ------------------------------------------------------------------------------------------------

-- `v100-[01-03,07],p100-01` as ranges of numbers, each with what stands before them.
local function read_nodes(list)
  local found = {}
  local function take(head, ranges)
    for each in ranges:gmatch("[^,]+") do
      local first, last = each:match("^(%d+)%-?(%d*)$")
      local low = tonumber(first) or 0
      found[#found + 1] = { head = head, low = low, high = math.max(low, tonumber(last) or low) }
    end
  end
  for head, ranges in (list .. ","):gmatch("([^,%[]+)%[([^%]]*)%][^,]*,") do take(head, ranges) end
  for name in list:gsub("[^,%[]*%b[][^,]*", ""):gmatch("[^,%s]+") do
    local head, number = name:match("^(.-)(%d*)$")
    take(head, number ~= "" and number or "0")
  end
  return found
end

local function count_nodes(list)
  local count = 0
  for _, each in ipairs(read_nodes(list)) do count = count + each.high - each.low + 1 end
  return count
end

-- How many nodes are in both lists.
local function common_nodes(list, other)
  local count, others = 0, read_nodes(other)
  for _, a in ipairs(read_nodes(list)) do
    for _, b in ipairs(others) do
      if a.head == b.head then count = count + math.max(0, math.min(a.high, b.high) - math.max(a.low, b.low) + 1) end
    end
  end
  return count
end

-- The request -----------------------------------------------------------------------------------------------------

-- GPUs that only follow from the tasks: `--ntasks=8 --ntasks-per-gpu=2` are 4 GPUs.
local function gpus_of_tasks(r)
  local each, tasks = r.sizes.ntasks_per_tres, r.sizes.num_tasks
  if r.wants_gpu or each == nil or each == 0 or tasks == nil or tasks == 0 then return nil end
  return math.floor(tasks / each)
end

local function read_sizes(r)
  local job, before = r.job, r.before
  for _, each in ipairs(PER_GPU) do r.lists[each] = read_list(text(job[each]) or (before and text(before[each]))) end
  for _, name in ipairs(SIZES) do
    r.sizes[name] = given(job[name]) or (before and RECORDED[name] and given(before[name])) or nil
  end
  r.task_gpus = gpus_of_tasks(r)
  r.wants_gpu = r.wants_gpu or r.task_gpus ~= nil
  local named, without = text(job.req_nodes), text(job.exc_nodes)
  if named and #named < LONG then r.named_nodes = count_nodes(named) end
  if without and #without < LONG then r.without_nodes = without end
  if r.named_nodes and r.named_nodes > (r.sizes.min_nodes or 0) then r.sizes.min_nodes = r.named_nodes end
end

local function read_places(r)
  for _, place in ipairs(PLACES) do
    local list = read_list(text(r.job[place]) or (r.before and text(r.before[place])))
    r.lists[place] = list
    if list.gpu then r.wants_gpu, r.kind = true, r.kind or list.gpu.kind end
    r.wants_share = r.wants_share or (list.shard and "shard") or (list.mps and "mps")
    r.is_mixed = r.is_mixed or list.is_mixed or (list.shard and list.mps and true)
  end
end

local function new_request(job, before)
  local r = { job = job, before = before, changes = {}, set = {}, lists = {}, sizes = {} }
  r.account = (text(job.account) or (before and text(before.account)) or text(job.default_account) or ""):lower()
  r.partition = text(job.partition) or (before and text(before.partition))
  r.qos = text(job.qos) or (before and text(before.qos))
  if r.qos then r.qos = r.qos:lower() end
  r.user = text(job.user_name) or (before and text(before.user_name)) or ""
  read_places(r)
  r.is_alone = job.shared == 0  -- --exclusive; not --exclusive=user, and unknown of an update
  if r.wants_gpu or r.wants_share or r.is_alone or given(job.ntasks_per_tres) then read_sizes(r) end
  return r
end

-- True where an update changes how much the job is, or whose quotas it counts against.
local function is_resized(job)
  for _, names in ipairs({ PLACES, PER_GPU, SIZES }) do
    for _, name in ipairs(names) do
      if text(job[name]) or given(job[name]) then return true end
    end
  end
  return text(job.partition) ~= nil or text(job.account) ~= nil or text(job.qos) ~= nil
end

-- What becomes another number ---------------------------------------------------------------------------------------

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

-- Name the model of GPUs that name none, or the one `from` which the job comes; without a model they name none.
local function name_model(r, model, from)
  for _, place in ipairs(PLACES) do
    local list, differs = r.lists[place], false
    for _, each in ipairs(list.words) do
      if type(each) == "table" and each.name == "gpu" and each.count > 0 and (each.kind == nil or each.kind == from)
        and each.kind ~= model then
        each.head = each.head:match("^(.-gpu)") .. (model and ":" .. model or "") .. each.head:sub(-1)
        each.kind, r.kind, differs = model, model, true
      end
    end
    if differs then r.job[place] = write_list(list) end
  end
end

return { new = new_request, name_model = name_model, is_resized = is_resized, change = change, clamp = clamp,
         resize = resize, recount = recount, given = given, text = text, whole = whole, places = PLACES,
         count_nodes = count_nodes, common_nodes = common_nodes }
