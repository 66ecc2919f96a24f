# Runs chengchingwen's Lookahead for Flux for `flux.py`, as Flux's documentation of its time says:
# `update!` is called with all parameters and gradients, and a scheduler sets `eta`. Optimizer and
# model are saved together, "to resume training exactly where you left off".

include(joinpath(@__DIR__, "shared", "serve.jl"))

module Flux

using ..Main: FOLDER, without_imports

# MacroTools'.
macro forward(place, functions)
    type, name = place.args
    all = Meta.isexpr(functions, :tuple) ? functions.args : [functions]
    method(f) = :($f(one::$type, more...) = $f(getfield(one, $name), more...))
    return esc(Expr(:block, map(method, all)...))
end

# Juno's.
macro progress(loop)
    return esc(loop)
end

# Zygote's.
struct Params
    arrays::Vector{Any}
end
Base.iterate(all::Params, more...) = iterate(all.arrays, more...)

for file in ("optimisers.jl", "lookahead.jl", "train.jl")
    include(without_imports, joinpath(FOLDER, file))
end

end

rules(inner) = inner isa Flux.Optimiser ? inner.os : [inner]

begun(code, params) = Flux.eval(Meta.parse(code)), params

function stepped((optimizer, params), rate, gradients...)
    for rule in rules(optimizer.opt)
        hasproperty(rule, :eta) && (rule.eta = rate[])
    end
    Flux.update!(optimizer, Flux.Params(params), IdDict{Any,Any}(zip(params, gradients)))
    return optimizer, params
end

function shown((optimizer, params))
    found = Any["fast" => params]
    all(x -> haskey(optimizer.state, x), params) || return found  # one had no gradient yet
    push!(found, "slow" => [optimizer.state[x][1] for x in params])
    # Flux's velocities have the learning rate in them, so that only Adam's slots are the suite's.
    for rule in rules(optimizer.opt), (place, name) in enumerate(("first_moment", "second_moment"))
        rule isa Flux.ADAM && push!(found, name => [rule.state[x][place] for x in params])
    end
    return found
end

serve(begun, stepped, shown)
