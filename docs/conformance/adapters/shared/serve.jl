# Serves an optimizer of Julia to `julia.py`, which describes the lines. Its argument is the folder
# of the files under test.

using Serialization

const FOLDER = ARGS[1]

# Of what the files import they need little: a program defines that before it includes them.
without_imports(code) = Meta.isexpr(code, (:using, :import)) ? nothing : code

function array(field)
    field == "nothing" && return nothing
    kind, shape, bits = split(field, ':')
    sizes = parse.(Int, split(shape, 'x'; keepempty = false))
    places = 1:16:length(bits)
    numbers = [reinterpret(Float64, parse(UInt64, bits[i:i+15]; base = 16)) for i in places]
    return reshape(kind == "Float32" ? Float32.(numbers) : numbers, sizes...)
end

hex(x) = string(reinterpret(UInt64, Float64(x)); base = 16, pad = 16)
written(x) = string(eltype(x), ':', join(size(x), 'x'), ':', join(map(hex, vec(x))))

# A state is the optimizer and the parameters: `begun` and `stepped` return it, `shown` shows it.
# It is saved whole, as an optimizer may find what belongs to an array by the array's identity.
function serve(begun, stepped, shown)
    state = nothing
    for line in eachline(stdin)
        words = split(line, '\t')
        verb, fields = words[1], words[2:end]
        answer = ["ok"]
        try
            if verb == "start"
                state = begun(fields[1], map(array, fields[2:end]))
            elseif verb == "step"
                state = stepped(state, map(array, fields)...)
                for (name, arrays) in shown(state)
                    push!(answer, string(name, '=', join(map(written, arrays), ' ')))
                end
            elseif verb == "save"
                saved = IOBuffer()
                serialize(saved, state)
                push!(answer, bytes2hex(take!(saved)))
            else
                state = deserialize(IOBuffer(hex2bytes(fields[1])))
            end
        catch error
            answer = ["error", told(error, stacktrace(catch_backtrace()))]
        end
        println(join(answer, '\t'))
        flush(stdout)
    end
end

# Tell an error, and where in the files under test it arose, as the suite tells Python's.
function told(error, frames)
    said = first(split(sprint(showerror, error), '\n'))
    own = filter(each -> startswith(String(each.file), FOLDER), frames)
    isempty(own) && return said
    file, line = String(own[1].file), own[1].line
    return "$said ($(basename(file)):$line, in $(own[1].func): $(strip(readlines(file)[line])))"
end
